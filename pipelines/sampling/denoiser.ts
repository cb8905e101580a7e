/** A network ready to denoise: guidance, conditions and adapters are already inside. */
export interface Denoiser<C> {
  /** Shape of one sample, for example `[3, 32, 32]`. */
  readonly dims: readonly number[];
  /**
   * Model output for every row, after guidance. The result for one row never depends on the others.
   * @param samples `[B, ...dims]`, row-major.
   * @param out where to write it; absent: to an array of its own.
   */
  predict(samples: Float32Array, timestep: number, conditions: readonly C[], out?: Float32Array): Promise<Float32Array>;
}
