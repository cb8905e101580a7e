import { NorthlightError } from '#models/errors.ts';
import { nearest } from '#models/nearest.ts';

/** An argument of a property: text or a number, with the option's name where it was given. */
export interface Argument {
  readonly name: string | undefined;
  readonly value: string | number;
}

/** A formula as a tree. Comparisons give 1 or 0. */
export type Formula =
  | { readonly kind: 'number'; readonly value: number }
  | { readonly kind: 'property'; readonly name: string; readonly args: readonly Argument[]; readonly at: number }
  | { readonly kind: 'call'; readonly name: FunctionName; readonly args: readonly Formula[] }
  | { readonly kind: 'binary'; readonly operator: string; readonly left: Formula; readonly right: Formula }
  | { readonly kind: 'minus'; readonly operand: Formula };

/** Functions, with the least and the most arguments. */
const FUNCTIONS = {
  abs: [1, 1, ([x]) => Math.abs(x!)],
  sqrt: [1, 1, ([x]) => Math.sqrt(x!)],
  exp: [1, 1, ([x]) => Math.exp(x!)],
  log: [1, 1, ([x]) => Math.log(x!)],
  min: [1, Number.POSITIVE_INFINITY, (xs) => Math.min(...xs)],
  max: [1, Number.POSITIVE_INFINITY, (xs) => Math.max(...xs)],
  clamp: [3, 3, ([x, low, high]) => Math.min(Math.max(x!, low!), high!)],
  if: [3, 3, ([condition, yes, no]) => (condition !== 0 ? yes! : no!)],
} as const satisfies Record<string, readonly [number, number, (xs: readonly number[]) => number]>;
type FunctionName = keyof typeof FUNCTIONS;

const OPERATORS: Readonly<Record<string, (a: number, b: number) => number>> = {
  '+': (a, b) => a + b,
  '-': (a, b) => a - b,
  '*': (a, b) => a * b,
  '/': (a, b) => a / b,
  '^': (a, b) => a ** b,
  '<': (a, b) => Number(a < b),
  '>': (a, b) => Number(a > b),
  '<=': (a, b) => Number(a <= b),
  '>=': (a, b) => Number(a >= b),
  '==': (a, b) => Number(a === b),
  '!=': (a, b) => Number(a !== b),
};
/** Loosest first; each level is left-associative. */
const LEVELS = [
  ['<', '>', '<=', '>=', '==', '!='],
  ['+', '-'],
  ['*', '/'],
];

interface Token {
  readonly kind: 'number' | 'text' | 'name' | 'sign' | 'end';
  readonly text: string;
  readonly at: number;
}

/** Deeper nesting than anybody writes, far from the end of the stack. */
const DEEPEST = 200;

/**
 * A formula over named properties: numbers, `+ - * / ^`, comparisons, the functions above, and properties with optional
 * arguments, `motif("TATAAA", strands="one")`. `^` binds tightest and to the right, then unary minus.
 * @param names of the properties; they may contain hyphens, and the longest that fits is read.
 * @throws {NorthlightError} `reward/formula` with the position and, for an unknown name, the nearest known one.
 */
export function parseFormula(text: string, names: readonly string[]): Formula {
  const tokens = tokenise(text, names);
  let next = 0;
  let depth = 0;
  const peek = () => tokens[next]!;
  const isSign = (sign: string) => peek().kind === 'sign' && peek().text === sign;
  const take = () => tokens[next++]!;
  const accept = (sign: string) => {
    const found = isSign(sign);
    if (found) next++;
    return found;
  };
  const expected = (what: string) => refuse(text, peek().at, `${what} is expected before ${shown(peek())}`);
  const close = () => {
    if (!accept(')')) throw expected('")"');
  };

  const level = (n: number): Formula => {
    const operators = LEVELS[n];
    if (operators === undefined) return unary();
    let left = level(n + 1);
    while (peek().kind === 'sign' && operators.includes(peek().text)) {
      left = { kind: 'binary', operator: take().text, left, right: level(n + 1) };
    }
    return left;
  };
  const expression = (): Formula => {
    if (++depth > DEEPEST) throw refuse(text, peek().at, 'it is nested too deeply');
    const result = level(0);
    depth--;
    return result;
  };
  const unary = (): Formula => {
    if (++depth > DEEPEST) throw refuse(text, peek().at, 'it is nested too deeply');
    const result: Formula = accept('-') ? { kind: 'minus', operand: unary() } : accept('+') ? unary() : power();
    depth--;
    return result;
  };
  const power = (): Formula => {
    const left = atom();
    return accept('^') ? { kind: 'binary', operator: '^', left, right: unary() } : left;
  };
  const list = <T>(element: () => T): T[] => {
    const found: T[] = [];
    if (accept(')')) return found;
    do found.push(element());
    while (accept(','));
    close();
    return found;
  };
  const argument = (): Argument => {
    const named = peek().kind === 'name' && tokens[next + 1]?.text === '=';
    const name = named ? peek().text : undefined;
    if (named) next += 2;
    const negative = accept('-');
    const { kind } = peek();
    if (kind === 'text' && !negative) return { name, value: take().text };
    if (kind === 'number') return { name, value: (negative ? -1 : 1) * Number(take().text) };
    throw expected('a number or "text"');
  };
  const atom = (): Formula => {
    const token = peek();
    if (accept('(')) {
      const inner = expression();
      close();
      return inner;
    }
    if (token.kind === 'number') return { kind: 'number', value: Number(take().text) };
    if (token.kind !== 'name') throw expected('a number, a name or "("');
    next++;
    if (Object.hasOwn(FUNCTIONS, token.text)) {
      const name = token.text as FunctionName;
      if (!accept('(')) throw expected(`"(" after ${name}`);
      const args = list(expression);
      const [least, most] = FUNCTIONS[name];
      if (args.length < least || args.length > most) {
        throw refuse(
          text,
          token.at,
          `${name} takes ${least}${most > least ? ' or more' : ''} arguments, not ${args.length}`,
        );
      }
      return { kind: 'call', name, args };
    }
    const name = names.find((known) => known.replaceAll('-', '_') === token.text.replaceAll('-', '_'));
    if (name === undefined) {
      const near = nearest(token.text, [...names, ...Object.keys(FUNCTIONS)]);
      throw refuse(
        text,
        token.at,
        `there is no property "${token.text}"`,
        near === undefined ? `Properties are ${names.join(', ')}.` : `Did you mean ${near}?`,
      );
    }
    return { kind: 'property', name, args: accept('(') ? list(argument) : [], at: token.at };
  };

  const formula = expression();
  if (peek().kind !== 'end') throw expected('an operator');
  return formula;
}

/** Value of a formula, given that of its properties. */
export function evaluate(formula: Formula, property: (node: Formula & { kind: 'property' }) => number): number {
  switch (formula.kind) {
    case 'number':
      return formula.value;
    case 'property':
      return property(formula);
    case 'minus':
      return -evaluate(formula.operand, property);
    case 'binary':
      return OPERATORS[formula.operator]!(evaluate(formula.left, property), evaluate(formula.right, property));
    case 'call': {
      // Only the chosen side counts: the other may be a logarithm of a negative number.
      if (formula.name === 'if') {
        return evaluate(formula.args[evaluate(formula.args[0]!, property) !== 0 ? 1 : 2]!, property);
      }
      return FUNCTIONS[formula.name][2](formula.args.map((arg) => evaluate(arg, property)));
    }
  }
}

/** The properties that a formula reads. */
export function propertiesOf(formula: Formula): (Formula & { kind: 'property' })[] {
  if (formula.kind === 'property') return [formula];
  if (formula.kind === 'minus') return propertiesOf(formula.operand);
  if (formula.kind === 'binary') return [...propertiesOf(formula.left), ...propertiesOf(formula.right)];
  return formula.kind === 'call' ? formula.args.flatMap(propertiesOf) : [];
}

function tokenise(text: string, names: readonly string[]): Token[] {
  const hyphenated = names.filter((name) => name.includes('-')).sort((a, b) => b.length - a.length);
  const tokens: Token[] = [];
  let at = 0;
  while (at < text.length) {
    const rest = text.slice(at);
    const space = /^\s+/.exec(rest);
    if (space) {
      at += space[0].length;
      continue;
    }
    const name = hyphenated.find((known) => rest.startsWith(known) && !/^[\w-]/.test(rest.slice(known.length)));
    const found: readonly [Token['kind'], string | undefined, number?] =
      name !== undefined
        ? ['name', name]
        : ((
            [
              ['number', /^(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+)?/i.exec(rest)?.[0]],
              ['text', /^"[^"]*"|^'[^']*'/.exec(rest)?.[0]],
              ['name', /^[a-z_]\w*/i.exec(rest)?.[0]],
              ['sign', /^(?:<=|>=|==|!=|[-+*/^<>(),=])/.exec(rest)?.[0]],
            ] as const
          ).find(([, match]) => match !== undefined) ?? ['end', undefined]);
    const [kind, matched] = found;
    if (matched === undefined) {
      throw refuse(text, at, /^["']/.test(rest) ? 'a text is not closed' : `"${rest[0]}" means nothing here`);
    }
    tokens.push({ kind, text: kind === 'text' ? matched.slice(1, -1) : matched, at });
    at += matched.length;
  }
  return [...tokens, { kind: 'end', text: '', at }];
}

const shown = ({ kind, text }: Token) => (kind === 'end' ? 'the end' : `"${text}"`);

function refuse(text: string, at: number, why: string, hint = 'See "expr" in the manual of rewards.'): NorthlightError {
  return new NorthlightError(
    'reward/formula',
    `Position ${at + 1} of the formula: ${why}.\n  ${text}\n  ${' '.repeat(at)}^`,
    hint,
  );
}
