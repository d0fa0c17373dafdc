/** Rows under their headings; columns are as wide as their contents. Numbers must be passed as text. */
export function formatTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const all = [heads, ...rows]
  return all.map(tableShape(all)).join('')
}

/** Returns the function that lays a row out as a line. Columns are as wide as `rows` need. The first row has every column. */
export function tableShape(rows: readonly (readonly string[])[]): (cells: readonly string[]) => string {
  const widths = (rows[0] ?? []).map((_, column) => widest(rows.map((row) => row[column] ?? '')))
  return (cells) => {
    const padded = cells.map((cell, column) => (column === cells.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
    return `${padded.join('  ').trimEnd()}\n`
  }
}

/** Lines of the form `name  value`, with the values aligned. */
export function formatFacts(facts: readonly (readonly [name: string, value: string])[]): string {
  const width = widest(facts.map(([name]) => name))
  return facts.map(([name, value]) => `${name.padEnd(width)}  ${value}\n`).join('')
}

/** There may be more rows than a call takes arguments. */
function widest(texts: readonly string[]): number {
  return texts.reduce((width, { length }) => Math.max(width, length), 0)
}

/** Control characters, what changes the direction of the text around it, and what has no width: none of them shows what it is. */
const UNSEEN =
  /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/g

/** Foreign text made safe for a terminal: what would not be seen, or changes how the rest is seen, is made visible instead of taking effect. */
export function printable(text: string): string {
  return text.replace(UNSEEN, (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`)
}
