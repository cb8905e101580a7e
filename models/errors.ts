/**
 * The one error class of the project. `code` is stable and machine-readable (`onnx/truncated`); `message` says what and
 * where; `hint` says what to do next. Across processes errors travel as `{ code, message, hint }`.
 */
export class NorthlightError extends Error {
  readonly code: string;
  readonly hint: string;

  constructor(code: string, message: string, hint = '', options?: ErrorOptions) {
    super(message, options);
    this.name = 'NorthlightError';
    this.code = code;
    this.hint = hint;
  }
}

export interface PlainError {
  readonly code: string;
  readonly message: string;
  readonly hint: string;
}

/** Any thrown value as the plain form that travels between processes. Unnamed errors get the code `internal`. */
export function toPlainError(error: unknown): PlainError {
  if (error instanceof NorthlightError) return { code: error.code, message: error.message, hint: error.hint };
  if (error instanceof Error) return { code: 'internal', message: error.message, hint: '' };
  return { code: 'internal', message: String(error), hint: '' };
}
