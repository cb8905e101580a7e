import type { Rng } from '#models/tensor/rng.ts';
import type { AttributeValue, FlowerAttributes } from './attributes.ts';

/**
 * Draws one flower as SVG on a 64 × 64 canvas. The attributes decide what is asked for; `rng` decides everything else:
 * pose, size, proportions, bend of the stem, shade, light, the shape of leaves and vase.
 */
export function drawFlower(a: FlowerAttributes, rng: Rng): string {
  const scene: Scene = { a, rng, defs: [], gradients: 0 };
  const nodding = a.species === 'bellflower';
  const head: Point = nodding
    ? { x: 32 + between(rng, -3, 3), y: between(rng, 9.5, 11.5) }
    : { x: 32 + between(rng, -4.5, 4.5), y: a.species === 'tulip' ? between(rng, 20, 23) : between(rng, 20, 22) };
  const base: Point = { x: 32 + between(rng, -2.5, 2.5), y: a.setting === 'in a vase' ? 50 : 58 };
  const petals = petalPaint(a.petalColour, rng);
  const stem = nodding ? noddingStem(scene, head, base) : uprightStem(scene, head, base);
  const green = leafGreen(rng);
  const parts = [
    background(scene),
    a.setting === 'on the ground' ? groundBehind(scene) : '',
    a.setting === 'in a vase' ? vaseShadow(base) : '',
    drawStem(stem, green),
    leaves(scene, stem, green),
    a.setting === 'in a vase' ? vase(scene, base.x) : groundInFront(scene, base),
    HEADS[a.species](scene, stem.head, petals),
  ];
  return (
    `<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64" viewBox="0 0 64 64">` +
    `<defs>${scene.defs.join('')}</defs>${parts.join('')}</svg>`
  );
}

interface Point {
  readonly x: number;
  readonly y: number;
}

interface Scene {
  readonly a: FlowerAttributes;
  readonly rng: Rng;
  readonly defs: string[];
  gradients: number;
}

/** Hue in degrees, saturation and lightness in percent. */
type Hsl = readonly [number, number, number];

function between(rng: Rng, low: number, high: number): number {
  return low + (high - low) * rng.uniform();
}

/** Two decimals: keeps the SVG short, and far below what a pixel shows. */
function n(x: number): string {
  return String(Math.round(x * 100) / 100);
}

/** As `#rrggbb`. */
function css([h, s, l]: Hsl): string {
  const light = Math.min(100, Math.max(0, l)) / 100;
  const reach = (Math.min(100, Math.max(0, s)) / 100) * Math.min(light, 1 - light);
  const channel = (k: number): string => {
    const at = (((k + h / 30) % 12) + 12) % 12;
    const x = light - reach * Math.max(-1, Math.min(at - 3, 9 - at, 1));
    return Math.round(x * 255)
      .toString(16)
      .padStart(2, '0');
  };
  return `#${channel(0)}${channel(8)}${channel(4)}`;
}

function lighter([h, s, l]: Hsl, by: number): Hsl {
  return [h, s, l + by];
}

function jitter([h, s, l]: Hsl, rng: Rng, dh: number, ds: number, dl: number): Hsl {
  return [h + between(rng, -dh, dh), s + between(rng, -ds, ds), l + between(rng, -dl, dl)];
}

/** A gradient in canvas units; returns the paint that refers to it. */
function linear(scene: Scene, from: Point, to: Point, stops: readonly (readonly [number, Hsl])[]): string {
  const id = `g${scene.gradients++}`;
  scene.defs.push(
    `<linearGradient id="${id}" gradientUnits="userSpaceOnUse" x1="${n(from.x)}" y1="${n(from.y)}" x2="${n(to.x)}" ` +
      `y2="${n(to.y)}">${stopList(stops)}</linearGradient>`,
  );
  return `url(#${id})`;
}

function radial(scene: Scene, at: Point, r: number, stops: readonly (readonly [number, Hsl])[]): string {
  const id = `g${scene.gradients++}`;
  scene.defs.push(
    `<radialGradient id="${id}" gradientUnits="userSpaceOnUse" cx="${n(at.x)}" cy="${n(at.y)}" r="${n(r)}">` +
      `${stopList(stops)}</radialGradient>`,
  );
  return `url(#${id})`;
}

function stopList(stops: readonly (readonly [number, Hsl])[]): string {
  return stops.map(([at, colour]) => `<stop offset="${n(at)}" stop-color="${css(colour)}"/>`).join('');
}

// ---- colours -------------------------------------------------------------------------------------------------------

const PETAL_HSL: Readonly<Record<AttributeValue<'petalColour'>, Hsl>> = {
  red: [357, 80, 47],
  orange: [25, 95, 54],
  yellow: [51, 96, 58],
  pink: [335, 82, 76],
  purple: [277, 52, 50],
  blue: [219, 78, 55],
  white: [50, 25, 97],
};

const CENTRE_HSL: Readonly<Record<AttributeValue<'centreColour'>, Hsl>> = {
  golden: [43, 97, 54],
  brown: [20, 55, 24],
  green: [98, 55, 42],
};

const BACKGROUND_HSL: Readonly<Record<AttributeValue<'background'>, Hsl>> = {
  cream: [43, 80, 89],
  sky: [205, 72, 84],
  mint: [145, 42, 83],
  lavender: [264, 50, 86],
  navy: [226, 48, 22],
};

interface PetalPaint {
  readonly body: Hsl;
  /** Near the centre of the flower. */
  readonly inner: Hsl;
  /** Near the tips. */
  readonly outer: Hsl;
  readonly light: Hsl;
  readonly deep: Hsl;
  /** Outline and veins. */
  readonly line: Hsl;
  readonly veined: boolean;
}

function petalPaint(colour: AttributeValue<'petalColour'>, rng: Rng): PetalPaint {
  const body = jitter(PETAL_HSL[colour], rng, colour === 'white' ? 30 : 4, 4, colour === 'white' ? 1 : 3);
  const [h, s, l] = body;
  // Light from the middle or toward the tips: the shade changes, the colour's name does not.
  const swing = (rng.uniform() < 0.5 ? -1 : 1) * between(rng, 4, 12);
  const white = colour === 'white';
  const deep: Hsl = white ? [h, 18, 86] : [h, s, l - Math.abs(swing)];
  const light: Hsl = white ? [h, 25, 99] : [h, s, l + Math.abs(swing) * 0.6];
  return {
    body,
    inner: swing < 0 ? deep : light,
    outer: swing < 0 ? light : deep,
    light,
    deep,
    line: white ? [h, 12, 62] : [h - (colour === 'yellow' ? 14 : 4), s * 0.85, l - (colour === 'pink' ? 26 : 22)],
    veined: rng.uniform() < 0.5,
  };
}

function leafGreen(rng: Rng): Hsl {
  return [between(rng, 100, 138), between(rng, 42, 58), between(rng, 33, 40)];
}

// ---- surroundings --------------------------------------------------------------------------------------------------

function background(scene: Scene): string {
  const { rng } = scene;
  const colour = jitter(BACKGROUND_HSL[scene.a.background], rng, 4, 4, 1.5);
  const lift = scene.a.background === 'navy' ? 7 : 4;
  const light: Point = { x: between(rng, 10, 54), y: between(rng, 5, 25) };
  const paint = radial(scene, light, 62, [
    [0, lighter(colour, lift)],
    [1, lighter(colour, -lift * 0.6)],
  ]);
  return `<rect width="64" height="64" fill="${paint}"/>`;
}

function groundColour(scene: Scene): Hsl {
  return scene.rng.fork('ground').uniform() < 0.5 ? [96, 42, 40] : [28, 42, 36];
}

function groundBehind(scene: Scene): string {
  const { rng } = scene;
  const colour = jitter(groundColour(scene), rng, 6, 5, 3);
  const top = between(rng, 53.5, 55.5);
  const bump = between(rng, -2.2, 2.2);
  const paint = linear(scene, { x: 0, y: top }, { x: 0, y: 64 }, [
    [0, lighter(colour, 5)],
    [1, lighter(colour, -7)],
  ]);
  return `<path d="M0 ${n(top)}Q16 ${n(top - bump)} 32 ${n(top)}T64 ${n(top)}V64H0Z" fill="${paint}"/>`;
}

/** A few blades of grass, and at the foot of the stem a tuft or a small mound. */
function groundInFront(scene: Scene, base: Point): string {
  const { rng } = scene;
  const blade = css([between(rng, 88, 115), 45, 32]);
  const blades: string[] = [];
  const count = 5 + rng.int(5);
  for (let i = 0; i < count; i++) {
    const x = i < 3 ? base.x + (i - 1) * 2 + between(rng, -0.6, 0.6) : between(rng, 3, 61);
    const y = between(rng, 58, 61);
    blades.push(
      `M${n(x)} ${n(y)}q${n(between(rng, -0.5, 0.5))} -3 ${n(between(rng, -2, 2))} ${n(-between(rng, 4, 6))}`,
    );
  }
  return `<path d="${blades.join('')}" fill="none" stroke="${blade}" stroke-width="1.1" stroke-linecap="round"/>`;
}

const VASE_HSL: readonly Hsl[] = [
  [14, 55, 52],
  [185, 38, 45],
  [212, 28, 62],
  [38, 30, 78],
  [330, 22, 48],
  [240, 16, 40],
];

function vaseShadow(base: Point): string {
  return `<ellipse cx="${n(base.x + 1.5)}" cy="62" rx="13" ry="1.8" fill="#000" opacity="0.16"/>`;
}

function vase(scene: Scene, x: number): string {
  const { rng } = scene;
  const picked = jitter(rng.pick(VASE_HSL), rng, 8, 6, 4);
  // A dark vase would be lost at night.
  const colour = scene.a.background === 'navy' ? lighter(picked, Math.max(0, 54 - picked[2])) : picked;
  const neck = between(rng, 4.2, 6);
  const belly = between(rng, 8.5, 11);
  const foot = between(rng, 4.5, 7);
  const top = 46.5;
  const outline = (() => {
    switch (rng.int(3)) {
      case 0: // round belly
        return (
          `M${n(x - neck)} ${top}C${n(x - neck + 1)} 50 ${n(x - belly)} 49.5 ${n(x - belly)} 55` +
          `C${n(x - belly)} 60 ${n(x - foot)} 61 ${n(x - foot)} 62H${n(x + foot)}` +
          `C${n(x + foot)} 61 ${n(x + belly)} 60 ${n(x + belly)} 55C${n(x + belly)} 49.5 ${n(x + neck - 1)} 50 ${n(x + neck)} ${top}Z`
        );
      case 1: // tapering beaker
        return (
          `M${n(x - belly + 1)} ${top}C${n(x - belly + 2)} 53 ${n(x - foot)} 57 ${n(x - foot)} 62` +
          `H${n(x + foot)}C${n(x + foot)} 57 ${n(x + belly - 2)} 53 ${n(x + belly - 1)} ${top}Z`
        );
      default: // bottle with shoulders
        return (
          `M${n(x - neck)} ${top}C${n(x - neck)} 49 ${n(x - belly + 1)} 49 ${n(x - belly + 1)} 52` +
          `L${n(x - belly + 2)} 62H${n(x + belly - 2)}L${n(x + belly - 1)} 52` +
          `C${n(x + belly - 1)} 49 ${n(x + neck)} 49 ${n(x + neck)} ${top}Z`
        );
    }
  })();
  const paint = linear(scene, { x: x - belly, y: 0 }, { x: x + belly, y: 0 }, [
    [0, lighter(colour, -4)],
    [0.35, lighter(colour, 12)],
    [1, lighter(colour, -13)],
  ]);
  const band =
    rng.uniform() < 0.45
      ? `<path d="M${n(x - belly * 0.72)} 56q${n(belly * 0.72)} 2 ${n(belly * 1.44)} 0" fill="none" stroke="${css(lighter(colour, 22))}" stroke-width="1.3"/>`
      : '';
  return `<path d="${outline}" fill="${paint}" stroke="${css(lighter(colour, -22))}" stroke-width="0.8"/>${band}`;
}

// ---- stem and leaves -----------------------------------------------------------------------------------------------

interface Stem {
  readonly path: string;
  readonly width: number;
  /** Where the flower sits, and the direction of the stem there (radians, 0 is straight up). */
  readonly head: Point & { readonly tilt: number };
  /** A point on the stem, 0 at the base and 1 at the top. */
  readonly at: (t: number) => Point;
}

function cubicAt(p0: Point, p1: Point, p2: Point, p3: Point, t: number): Point {
  const u = 1 - t;
  const mix = (a: number, b: number, c: number, d: number) =>
    u * u * u * a + 3 * u * u * t * b + 3 * u * t * t * c + t * t * t * d;
  return { x: mix(p0.x, p1.x, p2.x, p3.x), y: mix(p0.y, p1.y, p2.y, p3.y) };
}

function cubicPath(p0: Point, p1: Point, p2: Point, p3: Point): string {
  return `M${n(p0.x)} ${n(p0.y)}C${n(p1.x)} ${n(p1.y)} ${n(p2.x)} ${n(p2.y)} ${n(p3.x)} ${n(p3.y)}`;
}

function uprightStem({ rng }: Scene, head: Point, base: Point): Stem {
  const bend = between(rng, -5, 5);
  const p1 = { x: base.x + bend, y: base.y - 12 };
  const p2 = { x: head.x + bend * 0.6, y: head.y + 14 };
  return {
    path: cubicPath(base, p1, p2, head),
    width: between(rng, 1.9, 2.6),
    head: { ...head, tilt: Math.atan2(head.x - p2.x, p2.y - head.y) },
    at: (t) => cubicAt(base, p1, p2, head, t),
  };
}

/** Rises on one side, bends over at the top and lets the flower hang. */
function noddingStem({ rng }: Scene, head: Point, base: Point): Stem {
  const side = rng.uniform() < 0.5 ? -1 : 1;
  const foot = { x: base.x + side * 0.5, y: base.y };
  const shoulder = { x: 32 - side * between(rng, 11, 13), y: between(rng, 12, 15) };
  const hang = { x: head.x + side * 2.5, y: head.y + 2 };
  const p1 = { x: foot.x - side * 2, y: foot.y - 14 };
  const p2 = { x: shoulder.x, y: shoulder.y + 14 };
  const crest = between(rng, 2.5, 4);
  return {
    path:
      cubicPath(foot, p1, p2, shoulder) +
      `C${n(shoulder.x)} ${n(crest)} ${n(hang.x - side * 2)} ${n(crest - 1)} ${n(hang.x)} ${n(hang.y)}`,
    width: between(rng, 1.9, 2.5),
    head: { ...hang, tilt: side * between(rng, -0.02, 0.22) },
    at: (t) => cubicAt(foot, p1, p2, shoulder, t),
  };
}

function drawStem(stem: Stem, green: Hsl): string {
  return (
    `<path d="${stem.path}" fill="none" stroke="${css(lighter(green, -10))}" stroke-width="${n(stem.width + 0.8)}" stroke-linecap="round"/>` +
    `<path d="${stem.path}" fill="none" stroke="${css(lighter(green, 3))}" stroke-width="${n(stem.width - 0.2)}" stroke-linecap="round"/>`
  );
}

function leaves(scene: Scene, stem: Stem, green: Hsl): string {
  const { a, rng } = scene;
  const first = rng.uniform() < 0.5 ? -1 : 1;
  const sides = a.leaves === 'no leaves' ? [] : a.leaves === 'one leaf' ? [first] : [first, -first];
  const inVase = a.setting === 'in a vase';
  const droop = between(rng, -0.15, 0.4);
  const fat = between(rng, 3.3, 4.6);
  return sides
    .map((side) => {
      const from = stem.at(inVase ? between(rng, 0.12, 0.24) : between(rng, 0.22, 0.38));
      const length = between(rng, 16, 19);
      // Above the horizontal; lower where a bell hangs in the way.
      const angle = a.species === 'bellflower' ? between(rng, 0.2, 0.42) : between(rng, 0.3, 0.62);
      const tip = { x: from.x + side * length * Math.cos(angle), y: from.y - length * Math.sin(angle) };
      const along = { x: (tip.x - from.x) / length, y: (tip.y - from.y) / length };
      const normal = { x: -along.y * side, y: along.x * side };
      const point = (t: number, w: number): string =>
        `${n(from.x + along.x * length * t + normal.x * w)} ${n(from.y + along.y * length * t + normal.y * w - Math.sin(t * Math.PI) * droop * 5)}`;
      const paint = linear(scene, from, tip, [
        [0, lighter(green, -3)],
        [1, lighter(green, 12)],
      ]);
      return (
        `<path d="M${point(0, 0)}C${point(0.25, -fat * 1.3)} ${point(0.7, -fat * 1.2)} ${point(1, 0)}` +
        `C${point(0.75, fat * 0.9)} ${point(0.3, fat * 1.3)} ${point(0, 0)}Z" fill="${paint}" stroke="${css(lighter(green, -15))}" stroke-width="0.7"/>` +
        `<path d="M${point(0.05, 0)}Q${point(0.5, 0)} ${point(0.88, 0)}" fill="none" stroke="${css(lighter(green, 22))}" stroke-width="0.8"/>`
      );
    })
    .join('');
}

// ---- flower heads --------------------------------------------------------------------------------------------------

type Head = (scene: Scene, at: Stem['head'], paint: PetalPaint) => string;

const HEADS: Readonly<Record<AttributeValue<'species'>, Head>> = { daisy, tulip, poppy, lily, bellflower };

const PETAL_NUMBER: Readonly<Record<AttributeValue<'petalCount'>, number>> = { four: 4, six: 6, nine: 9 };

interface FacingShape {
  /** Radius of the whole head and of its centre. */
  readonly radius: number;
  readonly centre: number;
  readonly overlap: boolean;
  /** One petal pointing up from the origin. */
  readonly petal: (radius: number, count: number) => string;
}

/** Petals around a centre, turned a little away from the viewer. */
function facingHead(scene: Scene, at: Stem['head'], paint: PetalPaint, shape: FacingShape): string {
  const { a, rng } = scene;
  const count = PETAL_NUMBER[a.petalCount ?? 'six'];
  const { radius, centre } = shape;
  const turn = between(rng, 0, 360 / count);
  const squash = between(rng, 0.88, 1);
  // Overlapping petals are lit from one side each, so that every edge shows; free ones from the middle out.
  const fill = shape.overlap
    ? linear(scene, { x: -radius * 0.55, y: 0 }, { x: radius * 0.55, y: -radius * 0.3 }, [
        [0, paint.light],
        [0.5, paint.body],
        [1, paint.deep],
      ])
    : radial(scene, { x: 0, y: 0 }, radius, [
        [0.25, paint.inner],
        [0.6, paint.body],
        [1, paint.outer],
      ]);
  const petals: string[] = [];
  for (let i = 0; i < count; i++) {
    const angle = turn + (i * 360) / count + between(rng, -2.5, 2.5);
    const size = radius * between(rng, 0.95, 1.03);
    const vein = paint.veined && !shape.overlap ? `M0 ${n(-centre)}V${n(-size * 0.72)}` : '';
    petals.push(`<path transform="rotate(${n(angle)})" d="${shape.petal(size, count)}${vein}"/>`);
  }
  if (shape.overlap) {
    // Each petal covers one side of the one before it; the first closes the ring over the last with its free half.
    scene.defs.push('<clipPath id="half"><rect x="-32" y="-32" width="32" height="34"/></clipPath>');
    petals.push(petals[0]!.replace('<path ', '<path clip-path="url(#half)" '));
  }
  return (
    `<g transform="translate(${n(at.x)} ${n(at.y)}) rotate(${n((at.tilt * 180) / Math.PI)}) scale(1 ${n(squash)})">` +
    `<g fill="${fill}" stroke="${css(paint.line)}" stroke-width="0.8" stroke-linejoin="round">${petals.join('')}</g>` +
    `${flowerCentre(scene, centre)}</g>`
  );
}

function flowerCentre(scene: Scene, radius: number): string {
  const { a, rng } = scene;
  const colour = jitter(CENTRE_HSL[a.centreColour ?? 'golden'], rng, 3, 4, 2.5);
  const fill = radial(scene, { x: -radius * 0.3, y: -radius * 0.3 }, radius * 1.4, [
    [0, lighter(colour, 7)],
    [1, lighter(colour, -6)],
  ]);
  const dots: string[] = [];
  const count = 5 + rng.int(4);
  for (let i = 0; i < count; i++) {
    const angle = (i / count) * 2 * Math.PI;
    dots.push(`M${n(Math.cos(angle) * radius * 0.6)} ${n(Math.sin(angle) * radius * 0.6)}h.01`);
  }
  return (
    `<circle r="${n(radius)}" fill="${fill}" stroke="${css(lighter(colour, -22))}" stroke-width="0.9"/>` +
    `<path d="${dots.join('')}" stroke="${css(lighter(colour, a.centreColour === 'brown' ? 14 : -13))}" stroke-width="1.1"/>`
  );
}

/** Long narrow petals with round ends and air between them. */
function daisy(scene: Scene, at: Stem['head'], paint: PetalPaint): string {
  const slim = between(scene.rng, 0.92, 1.1);
  return facingHead(scene, at, paint, {
    radius: between(scene.rng, 16, 18.5),
    centre: between(scene.rng, 5, 6.2),
    overlap: false,
    petal: (r, count) => {
      const w = r * slim * (count === 9 ? 0.2 : 0.23);
      return (
        `M0 0C${n(w * 0.5)} ${n(-r * 0.2)} ${n(w)} ${n(-r * 0.5)} ${n(w)} ${n(-r * 0.76)}` +
        `C${n(w)} ${n(-r * 1.08)} ${n(-w)} ${n(-r * 1.08)} ${n(-w)} ${n(-r * 0.76)}C${n(-w)} ${n(-r * 0.5)} ${n(-w * 0.5)} ${n(-r * 0.2)} 0 0Z`
      );
    },
  });
}

/** Broad, overlapping fans that make a full disc with a scalloped edge. */
function poppy(scene: Scene, at: Stem['head'], paint: PetalPaint): string {
  const ruffle = between(scene.rng, 1, 1.07);
  return facingHead(scene, at, paint, {
    radius: between(scene.rng, 15.5, 18),
    centre: between(scene.rng, 4.8, 5.8),
    overlap: true,
    petal: (r, count) => {
      const w = r * (count === 4 ? 0.64 : count === 6 ? 0.46 : 0.34);
      return (
        `M0 0C${n(w * 0.7)} ${n(-r * 0.1)} ${n(w * 1.1)} ${n(-r * 0.38)} ${n(w)} ${n(-r * 0.66)}` +
        `C${n(w * 0.92)} ${n(-r * 0.94)} ${n(w * 0.45)} ${n(-r * ruffle)} 0 ${n(-r)}` +
        `C${n(-w * 0.45)} ${n(-r * ruffle)} ${n(-w * 0.92)} ${n(-r * 0.94)} ${n(-w)} ${n(-r * 0.66)}` +
        `C${n(-w * 1.1)} ${n(-r * 0.38)} ${n(-w * 0.7)} ${n(-r * 0.1)} 0 0Z`
      );
    },
  });
}

/** A star of pointed petals. */
function lily(scene: Scene, at: Stem['head'], paint: PetalPaint): string {
  const curl = between(scene.rng, -0.12, 0.12);
  const slim = between(scene.rng, 0.92, 1.1);
  return facingHead(scene, at, paint, {
    radius: between(scene.rng, 18, 20.5),
    centre: between(scene.rng, 4.2, 5),
    overlap: false,
    petal: (r, count) => {
      const w = r * slim * (count === 9 ? 0.2 : 0.3);
      const tip = r * curl;
      return (
        `M0 0C${n(w * 1.1)} ${n(-r * 0.2)} ${n(w * 0.95)} ${n(-r * 0.55)} ${n(tip)} ${n(-r)}` +
        `C${n(-w * 0.95)} ${n(-r * 0.55)} ${n(-w * 1.1)} ${n(-r * 0.2)} 0 0Z`
      );
    },
  });
}

/** An upright cup seen from the side: two outer petals around one in front, tips up. */
function tulip(scene: Scene, at: Stem['head'], paint: PetalPaint): string {
  const { rng } = scene;
  const w = between(rng, 10, 12.5);
  const h = between(rng, 20, 23);
  const flare = between(rng, 0.85, 1.15);
  const point = between(rng, 0.8, 1.05);
  const fill = linear(scene, { x: 0, y: 4 }, { x: 0, y: -h * 0.8 }, [
    [0, paint.inner],
    [0.5, paint.body],
    [1, paint.outer],
  ]);
  const back = css(lighter(paint.body, paint.body[1] < 30 ? -12 : -8));
  const line = css(paint.line);
  const bottom = h * 0.38;
  const top = bottom - h;
  const side = (s: number) =>
    `M0 ${n(bottom)}C${n(s * w * 1.15)} ${n(bottom)} ${n(s * w * 1.15)} ${n(top + h * 0.45)} ${n(s * w * flare)} ${n(top + h * 0.04)}` +
    `C${n(s * w * 0.5)} ${n(top + h * 0.16)} ${n(s * w * 0.1)} ${n(top + h * 0.4)} 0 ${n(bottom)}Z`;
  const front =
    `M0 ${n(bottom)}C${n(-w * 0.85)} ${n(bottom - h * 0.1)} ${n(-w * 0.75)} ${n(top + h * 0.4)} 0 ${n(top + h * 0.2 * point)}` +
    `C${n(w * 0.75)} ${n(top + h * 0.4)} ${n(w * 0.85)} ${n(bottom - h * 0.1)} 0 ${n(bottom)}Z`;
  const backPetal = (s: number) =>
    `M0 ${n(bottom)}C${n(s * w)} ${n(top + h * 0.5)} ${n(s * w * 0.8)} ${n(top + h * 0.2)} ${n(s * w * 0.36)} ${n(top - h * 0.02)}` +
    `C${n(-s * w * 0.1)} ${n(top + h * 0.3)} ${n(-s * w * 0.2)} ${n(top + h * 0.5)} 0 ${n(bottom)}Z`;
  const vein = paint.veined
    ? `<path d="M0 ${n(bottom - 3)}V${n(top + h * 0.4)}" stroke="${line}" stroke-opacity="0.55" stroke-width="0.8"/>`
    : '';
  return (
    `<g transform="translate(${n(at.x)} ${n(at.y)}) rotate(${n((at.tilt * 120) / Math.PI)})" stroke="${line}" stroke-width="0.8" stroke-linejoin="round">` +
    `<path d="${backPetal(-1)}" fill="${back}"/><path d="${backPetal(1)}" fill="${back}"/>` +
    `<path d="${side(-1)}" fill="${fill}"/><path d="${side(1)}" fill="${fill}"/><path d="${front}" fill="${fill}"/>${vein}</g>`
  );
}

/** A hanging bell with a flared, scalloped rim, its dark mouth just in view. */
function bellflower(scene: Scene, at: Stem['head'], paint: PetalPaint): string {
  const { rng } = scene;
  const w = between(rng, 6.5, 8);
  const rim = between(rng, 11, 13.5);
  const h = between(rng, 18.5, 21);
  const fill = linear(scene, { x: -rim, y: 0 }, { x: rim, y: 0 }, [
    [0, paint.outer],
    [0.4, paint.inner],
    [1, lighter(paint.body, -5)],
  ]);
  const line = css(paint.line);
  const deep = css(paint.body[1] < 30 ? [paint.body[0], 14, 74] : lighter(paint.body, -17));
  const bell =
    `M0 0C${n(w * 0.9)} 0 ${n(w)} ${n(h * 0.25)} ${n(w)} ${n(h * 0.5)}C${n(w)} ${n(h * 0.78)} ${n(rim * 0.85)} ${n(h * 0.86)} ${n(rim)} ${n(h * 0.92)}` +
    `L${n(rim * 0.62)} ${n(h * 1.12)}L${n(rim * 0.32)} ${n(h)}L0 ${n(h * 1.16)}L${n(-rim * 0.32)} ${n(h)}L${n(-rim * 0.62)} ${n(h * 1.12)}L${n(-rim)} ${n(h * 0.92)}` +
    `C${n(-rim * 0.85)} ${n(h * 0.86)} ${n(-w)} ${n(h * 0.78)} ${n(-w)} ${n(h * 0.5)}C${n(-w)} ${n(h * 0.25)} ${n(-w * 0.9)} 0 0 0Z`;
  const veins = paint.veined
    ? `<path d="M${n(-w * 0.35)} ${n(h * 0.2)}Q${n(-w * 0.5)} ${n(h * 0.6)} ${n(-rim * 0.32)} ${n(h)}M${n(w * 0.35)} ${n(h * 0.2)}Q${n(w * 0.5)} ${n(h * 0.6)} ${n(rim * 0.32)} ${n(h)}" fill="none" stroke-opacity="0.6"/>`
    : '';
  const green = css(leafGreen(rng));
  const clapper = `<path d="M0 ${n(h * 0.95)}V${n(h * 1.22)}" stroke="#e8c33c" stroke-width="1.6" stroke-linecap="round"/>`;
  return (
    `<g transform="translate(${n(at.x)} ${n(at.y)}) rotate(${n((-at.tilt * 180) / Math.PI)})" stroke="${line}" stroke-width="0.8" stroke-linejoin="round">` +
    `${clapper}<path d="${bell}" fill="${fill}"/>${veins}` +
    `<path d="M${n(-w * 0.75)} 2.6Q${n(-w * 0.5)} -2 0 -2Q${n(w * 0.5)} -2 ${n(w * 0.75)} 2.6Q0 0.8 ${n(-w * 0.75)} 2.6Z" fill="${green}" stroke="none"/>` +
    `<path d="M${n(-rim * 0.62)} ${n(h * 0.9)}Q0 ${n(h * 1.02)} ${n(rim * 0.62)} ${n(h * 0.9)}" fill="none" stroke="${deep}" stroke-opacity="0.5"/></g>`
  );
}
