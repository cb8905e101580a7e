import { create } from 'zustand';
import type { FoundSamples, Output, Sample, SampleOrder } from '#pipelines/engine/contract.ts';
import { between } from '#renderer/logic/grid.ts';
import { engine } from '#renderer/state/engine.ts';
import { recall, remember } from '#renderer/state/memory.ts';
import { type EngineError, toEngineError } from '#renderer/transport/wire.ts';

/** Typing rests this long before it is searched for. */
const TYPING_MS = 120;
/** New pictures are looked for at most this often. */
const NEWS_MS = 500;
/** Pictures whose settings are kept; scrolling back beyond them reads them again. */
const ROWS_KEPT = 3000;
const ROWS_AT_ONCE = 500;

interface GalleryState {
  /** As typed. */
  query: string;
  order: SampleOrder;
  /** Of the orders `best` and `worst`. */
  reward: string | null;
  /** All that match, in order; null while never read. */
  seqs: readonly number[] | null;
  /** What the list stands for: it changes when another search or order was answered. */
  search: number;
  /** How many match; more than `seqs` has where the order holds only scored pictures. */
  total: number;
  terms: FoundSamples['terms'];
  problems: FoundSamples['problems'];
  /** What is known of the pictures, by `seq`. */
  rows: ReadonlyMap<number, Sample>;
  selected: ReadonlySet<number>;
  /** Index in `seqs` of the picture the keyboard is at, and of where a range began. */
  cursor: number;
  anchor: number;
  /** Grows when the cursor was moved by a person, and should be in sight. */
  reveal: number;
  /** Pictures that arrived while the list was scrolled away from its top; shown when asked for. */
  news: number;
  detail: boolean;
  /** Side of a tile that is aimed at, in CSS pixels. */
  side: number;
  tags: Output<'samples.tags'>;
  rewards: Output<'samples.rewards'>;
  /** What was put into the trash here, newest last. */
  trashed: readonly (readonly number[])[];
  error: EngineError | null;
}

export const useGallery = create<GalleryState>(() => ({
  query: '',
  order: 'newest',
  reward: null,
  seqs: null,
  search: 0,
  total: 0,
  terms: [],
  problems: [],
  rows: new Map(),
  selected: new Set(),
  cursor: 0,
  anchor: 0,
  reveal: 0,
  news: 0,
  detail: recall('gallery.detail') === 'yes',
  side: Number(recall('gallery.side')) || 150,
  tags: [],
  rewards: [],
  trashed: [],
  error: null,
}));

const { getState: get, setState: set } = useGallery;

/** Where the list was scrolled to, kept while another place is shown. */
export const scroll: { top: number } = { top: 0 };

export function setSide(side: number): void {
  remember('gallery.side', String(side));
  set({ side });
}

export function showDetail(detail: boolean): void {
  remember('gallery.detail', detail ? 'yes' : 'no');
  set({ detail });
}

export const clearError = (): void => set({ error: null });

async function attempt(work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    set({ error: toEngineError(error) });
  }
}

// Searching

let asked = 0;

/** Every page of what matches now; null when another search was begun meanwhile. */
async function readList(): Promise<{ seqs: number[]; first: FoundSamples } | null> {
  const mine = ++asked;
  const { query, order, reward } = get();
  const input = { query, order, ...(reward !== null && { reward }) };
  const first = await engine.call('samples.find', input);
  const seqs = [...first.seqs];
  for (let after = first.next; after !== null; ) {
    const page = await engine.call('samples.find', { ...input, after });
    seqs.push(...page.seqs);
    after = page.next;
  }
  return mine === asked ? { seqs, first } : null;
}

/** Reads the list again. `fresh`: it is another list, which begins at its top with nothing selected. */
async function find(fresh: boolean): Promise<void> {
  await attempt(async () => {
    const found = await readList();
    if (found === null) return;
    const { seqs, first } = found;
    const before = get();
    const at = before.seqs?.[before.cursor];
    const place = fresh || at === undefined ? 0 : Math.max(0, seqs.indexOf(at));
    set({
      seqs,
      total: first.total ?? seqs.length,
      terms: first.terms,
      problems: first.problems,
      news: 0,
      error: null,
      cursor: place,
      anchor: place,
      ...(fresh && { selected: new Set<number>(), search: before.search + 1 }),
    });
  });
}

/** Reads everything that is shown: when the place is opened and after a reconnection, because events may have been missed. */
export async function reload(): Promise<void> {
  set({ rows: new Map() });
  await Promise.all([find(get().seqs === null), refreshNames()]);
}

async function refreshNames(): Promise<void> {
  await attempt(async () => {
    const [tags, rewards] = await Promise.all([engine.call('samples.tags', {}), engine.call('samples.rewards', {})]);
    set({ tags, rewards });
  });
}

let typing: ReturnType<typeof setTimeout> | undefined;

export function setQuery(query: string): void {
  set({ query });
  clearTimeout(typing);
  typing = setTimeout(() => void find(true), TYPING_MS);
}

/** Adds a filter to the search, or takes it out when it is there. */
export function toggleFilter(filter: string): void {
  const { query } = get();
  const words = query.split(/ +/);
  const without = query.replace(filter, '').replace(/ {2,}/g, ' ').trim();
  setQuery(
    words.includes(filter) || (filter.includes(' ') && query.includes(filter)) ? without : `${query} ${filter}`.trim(),
  );
}

export function cutFromQuery(from: number, to: number): void {
  const { query } = get();
  setQuery(`${query.slice(0, from)}${query.slice(to)}`.replace(/ {2,}/g, ' ').trim());
}

export function setOrder(order: SampleOrder, reward: string | null): void {
  set({ order, reward });
  void find(true);
}

// What is known of pictures

let wanted: readonly number[] = [];
let reading = false;

/** Asks for the settings of pictures in sight. While a call is under way only the last request is remembered. */
export function wantRows(seqs: readonly number[]): void {
  wanted = seqs;
  if (!reading) void readRows();
}

async function readRows(): Promise<void> {
  reading = true;
  try {
    for (;;) {
      const { rows } = get();
      const missing = wanted.filter((seq) => !rows.has(seq)).slice(0, ROWS_AT_ONCE);
      if (missing.length === 0) return;
      const found = await engine.call('samples.show', { seqs: missing });
      putRows(found);
      // What is gone is not asked for again.
      if (found.length < missing.length) {
        const there = new Set(found.map(({ seq }) => seq));
        dropFromList(new Set(missing.filter((seq) => !there.has(seq))));
      }
    }
  } catch (error) {
    set({ error: toEngineError(error) });
  } finally {
    reading = false;
  }
}

function putRows(found: readonly Sample[]): void {
  set((s) => {
    const rows = new Map(s.rows);
    for (const sample of found) rows.set(sample.seq, sample);
    if (rows.size > ROWS_KEPT) {
      const keep = new Set(wanted);
      for (const seq of rows.keys()) {
        if (rows.size <= ROWS_KEPT / 2) break;
        if (!keep.has(seq)) rows.delete(seq);
      }
    }
    return { rows };
  });
}

function dropFromList(gone: ReadonlySet<number>): void {
  set((s) => {
    if (s.seqs === null) return {};
    const at = s.seqs[s.cursor];
    const seqs = s.seqs.filter((seq) => !gone.has(seq));
    const left = s.seqs.slice(0, s.cursor).filter((seq) => !gone.has(seq)).length;
    const cursor = Math.max(
      0,
      Math.min(seqs.length - 1, at !== undefined && gone.has(at) ? left : seqs.indexOf(at ?? -1)),
    );
    return {
      seqs,
      total: s.total - (s.seqs.length - seqs.length),
      cursor,
      anchor: cursor,
      selected: new Set([...s.selected].filter((seq) => !gone.has(seq))),
    };
  });
}

// Cursor and selection

/** The picture the keyboard is at. */
export function current(): number | undefined {
  const { seqs, cursor } = get();
  return seqs?.[cursor];
}

/** What a command is about: the selection, or else the picture the keyboard is at. */
export function targets(): number[] {
  const { selected } = get();
  if (selected.size > 0) return [...selected];
  const seq = current();
  return seq === undefined ? [] : [seq];
}

export function moveTo(index: number, extend: boolean): void {
  set((s) => {
    if (!s.seqs || index < 0 || index >= s.seqs.length) return {};
    const reveal = s.reveal + 1;
    if (!extend) return { cursor: index, anchor: index, reveal };
    const before = new Set(between(s.seqs, s.anchor, s.cursor));
    const kept = [...s.selected].filter((seq) => !before.has(seq));
    return { cursor: index, reveal, selected: new Set([...kept, ...between(s.seqs, s.anchor, index)]) };
  });
}

export function toggleSelected(index: number): void {
  set((s) => {
    const seq = s.seqs?.[index];
    if (seq === undefined) return {};
    const selected = new Set(s.selected);
    if (!selected.delete(seq)) selected.add(seq);
    return { selected, cursor: index, anchor: index };
  });
}

export const selectAll = (): void => set((s) => ({ selected: new Set(s.seqs ?? []) }));
export const selectNone = (): void => set({ selected: new Set() });

// Marks

/** Stars all, or takes the stars away where all have one. */
export async function starTargets(): Promise<void> {
  const seqs = targets();
  if (seqs.length === 0) return;
  const { rows } = get();
  const starred = !seqs.every((seq) => rows.get(seq)?.starred);
  putRows(seqs.flatMap((seq) => rows.get(seq) ?? []).map((sample) => ({ ...sample, starred })));
  await attempt(async () => void (await engine.call('samples.starAll', { seqs, starred })));
}

export async function tagTargets(add: readonly string[], remove: readonly string[]): Promise<void> {
  const seqs = targets();
  if (seqs.length > 0) await engine.call('samples.tag', { seqs, add: [...add], remove: [...remove] });
}

/** Gives the tag to all, or takes it away where all have it. */
export async function toggleTag(name: string): Promise<void> {
  const { rows } = get();
  const everywhere = targets().every((seq) => rows.get(seq)?.tags.includes(name));
  await attempt(() => tagTargets(everywhere ? [] : [name], everywhere ? [name] : []));
}

/** Whether the list is of what was thrown away. */
export const isTrash = (terms: GalleryState['terms']): boolean =>
  terms.some(({ label }) => label.toLowerCase() === 'in:trash');

export async function trashTargets(): Promise<void> {
  const seqs = targets();
  if (seqs.length === 0 || isTrash(get().terms)) return;
  await attempt(async () => {
    await engine.call('samples.trash', { seqs });
    set((s) => ({ trashed: [...s.trashed.slice(-49), seqs] }));
  });
}

export async function undoTrash(): Promise<void> {
  const last = get().trashed.at(-1);
  if (!last) return;
  await attempt(async () => {
    await engine.call('samples.restore', { seqs: [...last] });
    set((s) => ({ trashed: s.trashed.slice(0, -1) }));
    await find(false);
    const place = get().seqs?.indexOf(last[0] ?? -1) ?? -1;
    if (place >= 0) moveTo(place, false);
  });
}

// News

/** Runs `work` a little later, once for all calls until then. */
function soon(work: () => Promise<void>): () => void {
  let waiting = false;
  return () => {
    if (waiting || get().seqs === null) return;
    waiting = true;
    setTimeout(() => {
      waiting = false;
      void attempt(work);
    }, NEWS_MS);
  };
}

/** Something arrived that may belong into the list. At its top it is shown; further down it is only announced. */
const expectNews = soon(async () => {
  if (scroll.top === 0 && get().selected.size === 0) return find(false);
  const found = await readList();
  if (found === null) return;
  const known = new Set(get().seqs);
  set({ news: found.seqs.filter((seq) => !known.has(seq)).length });
});

const expectNames = soon(refreshNames);

/** Shows what was only announced. */
export async function showNews(): Promise<void> {
  await find(false);
  set((s) => ({ cursor: 0, anchor: 0, search: s.search + 1 }));
}

engine.on('sample', ({ sample }) => {
  if (get().rows.has(sample.seq)) putRows([sample]);
  else expectNews();
});

engine.on('samplesChanged', ({ seqs, what }) => {
  if (get().seqs === null) return;
  expectNames();
  if (what === (isTrash(get().terms) ? 'restored' : 'trashed')) {
    dropFromList(new Set(seqs));
  } else if (what === 'trashed' || what === 'restored') {
    expectNews();
  } else {
    const changed = new Set(seqs);
    const stale = [...get().rows.keys()].filter((seq) => changed.has(seq));
    if (stale.length === 0) return;
    void attempt(async () => {
      const inSight = new Set(wanted);
      const [now, later] = [stale.filter((seq) => inSight.has(seq)), stale.filter((seq) => !inSight.has(seq))];
      if (now.length > 0) putRows(await engine.call('samples.show', { seqs: now.slice(0, ROWS_AT_ONCE) }));
      set((s) => {
        const rows = new Map(s.rows);
        for (const seq of later) rows.delete(seq);
        return { rows };
      });
    });
  }
});
