/** Where the places of a tree are drawn: leaves one under another, everything else amid its children. Parents come first in the list. */
export function treeRows(parents: readonly (number | null)[]): { readonly rows: number[]; readonly height: number } {
  const children = parents.map((): number[] => []);
  for (const [i, parent] of parents.entries()) if (parent !== null) children[parent]!.push(i);
  const rows: number[] = [];
  let leaves = 0;
  const place = (i: number): number => {
    const own = children[i]!.map(place);
    rows[i] = own.length === 0 ? leaves++ : (own[0]! + own.at(-1)!) / 2;
    return rows[i]!;
  };
  for (const [i, parent] of parents.entries()) if (parent === null) place(i);
  return { rows, height: leaves };
}
