/** Rows under their headings; columns are as wide as their contents. Numbers must be passed as text. */
export function formatTable(heads: readonly string[], rows: readonly (readonly string[])[]): string {
  const widths = heads.map((head, column) => widest([head, ...rows.map((row) => row[column] ?? '')]))
  const line = (cells: readonly string[]): string =>
    cells
      .map((cell, column) => (column === cells.length - 1 ? cell : cell.padEnd(widths[column] ?? 0)))
      .join('  ')
      .trimEnd()
  return [heads, ...rows].map((row) => `${line(row)}\n`).join('')
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

/** Foreign text made safe for a terminal: control characters are made visible instead of taking effect. */
export function printable(text: string): string {
  return text.replace(
    /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/g,
    (character) => `\\x${character.charCodeAt(0).toString(16).padStart(2, '0')}`,
  )
}
