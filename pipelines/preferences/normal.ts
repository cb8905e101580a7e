/** Standard normal distribution function, to about 1e-15: Abramowitz and Stegun 26.2.11 near zero, 26.2.12-type fraction in the tails. */
export function normalCdf(x: number): number {
  const a = Math.abs(x);
  const density = Math.exp(-0.5 * a * a) / Math.sqrt(2 * Math.PI);
  if (a < 5) {
    let term = a;
    let sum = a;
    for (let k = 3; term > sum * 1e-17; k += 2) {
      term *= (a * a) / k;
      sum += term;
    }
    return x < 0 ? 0.5 - density * sum : 0.5 + density * sum;
  }
  // Continued fraction of the Mills ratio, evaluated from far down: 1/(x + 1/(x + 2/(x + …))).
  let fraction = a;
  for (let k = 60; k >= 1; k--) fraction = a + k / fraction;
  return x < 0 ? density / fraction : 1 - density / fraction;
}

/** Inverse of `normalCdf` for 0 < p < 1, by bisection to the last bit. */
export function normalQuantile(p: number): number {
  if (!(p > 0 && p < 1)) throw new RangeError('A quantile is asked for a probability between 0 and 1.');
  let low = -40;
  let high = 40;
  for (;;) {
    const middle = (low + high) / 2;
    if (middle <= low || middle >= high) return middle;
    if (normalCdf(middle) < p) low = middle;
    else high = middle;
  }
}

/** Nodes and weights with Σ w·f(node) ≈ E f(Z), Z standard normal; exact for polynomials below degree 2n. */
export function gaussHermite(n: number): { nodes: Float64Array; weights: Float64Array } {
  // Orthonormal probabilists' Hermite polynomials: √(k+1)·h_{k+1} = x·h_k − √k·h_{k−1}; the weight at a root is 1/Σ h_k².
  const evaluate = (x: number) => {
    let previous = 0;
    let value = 1;
    let squares = 1;
    for (let k = 0; k < n; k++) {
      const next = (x * value - Math.sqrt(k) * previous) / Math.sqrt(k + 1);
      previous = value;
      value = next;
      if (k < n - 1) squares += value * value;
    }
    return { value, squares };
  };
  const nodes = new Float64Array(n);
  const weights = new Float64Array(n);
  // Roots are simple and further apart than this: scan for the changes of sign, then bisect.
  const reach = 2 * Math.sqrt(n) + 1;
  const stride = reach / (64 * n);
  let found = 0;
  for (let i = -64 * n; i < 64 * n && found < n; i++) {
    let low = (i + 0.5) * stride;
    let high = low + stride;
    const sign = Math.sign(evaluate(low).value);
    if (Math.sign(evaluate(high).value) === sign) continue;
    for (let k = 0; k < 80; k++) {
      const middle = (low + high) / 2;
      if (Math.sign(evaluate(middle).value) === sign) low = middle;
      else high = middle;
    }
    const root = (low + high) / 2;
    nodes[found] = root;
    weights[found] = 1 / evaluate(root).squares;
    found++;
  }
  return { nodes, weights };
}
