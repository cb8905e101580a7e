/**
 * The text of `exif:UserComment` in an XMP packet (ISO 16684-1), as an attribute or as an element with `rdf:Alt` inside.
 * A search, not an XML parser: nothing is nested, expanded or fetched, so nothing in the packet can cost more than its length.
 */
export function readXmpComment(xmp: string): string | null {
  const attribute = /\bexif:UserComment\s*=\s*("[^"]*"|'[^']*')/.exec(xmp)?.[1];
  if (attribute !== undefined) return unescapeXml(attribute.slice(1, -1));
  const open = xmp.indexOf('<exif:UserComment');
  const close = open < 0 ? -1 : xmp.indexOf('</exif:UserComment>', open);
  if (close < 0) return null;
  const start = xmp.indexOf('>', open) + 1;
  const inner = xmp.slice(start, close);
  const item = inner.indexOf('<rdf:li');
  if (item < 0) return unescapeXml(inner.trim());
  const from = inner.indexOf('>', item) + 1;
  const to = inner.indexOf('</rdf:li>', from);
  return to < 0 ? null : unescapeXml(inner.slice(from, to).trim());
}

const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'" };

function unescapeXml(text: string): string {
  return text.replace(/&(?:#x([0-9a-fA-F]{1,6})|#(\d{1,7})|([a-z]{2,4}));/g, (whole, hex, decimal, name) => {
    if (name !== undefined) return ENTITIES[name] ?? whole;
    const code = hex === undefined ? Number(decimal) : Number.parseInt(hex, 16);
    return code > 0 && code <= 0x10ffff ? String.fromCodePoint(code) : whole;
  });
}
