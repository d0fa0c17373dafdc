const BYTES_A_LINE = 16
const PAIR = /[0-9a-fA-F]{2}/gy

/** Two digits a byte, 16 bytes a line. */
export function hexOf(bytes: Uint8Array): string {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += BYTES_A_LINE) lines.push(pairs(bytes.subarray(at, at + BYTES_A_LINE)))
  return lines.join('\n')
}

/** As `hexOf`, with the offset before each line and its printable characters behind it. */
export function hexDumpOf(bytes: Uint8Array, from = 0): string {
  const lines: string[] = []
  for (let at = 0; at < bytes.length; at += BYTES_A_LINE) {
    const line = bytes.subarray(at, at + BYTES_A_LINE)
    const offset = (from + at).toString(16).padStart(8, '0')
    lines.push(`${offset}  ${pairs(line).padEnd(3 * BYTES_A_LINE - 1)}  ${printable(line)}`)
  }
  return lines.join('\n')
}

export type HexOutcome =
  | { readonly kind: 'bytes'; readonly bytes: Uint8Array<ArrayBuffer> }
  | { readonly kind: 'invalid'; readonly reason: string }

/** Reads digits in pairs, with any spaces and line breaks between the pairs. */
export function bytesFromHex(text: string): HexOutcome {
  const bytes: number[] = []
  for (let at = 0; at < text.length;) {
    const space = spacesAt(text, at)
    if (space > 0) {
      at += space
      continue
    }
    PAIR.lastIndex = at
    const [pair] = PAIR.exec(text) ?? []
    if (pair === undefined) return { kind: 'invalid', reason: wrongAt(text, at) }
    bytes.push(Number.parseInt(pair, 16))
    at += pair.length
  }
  return { kind: 'bytes', bytes: Uint8Array.from(bytes) }
}

function spacesAt(text: string, start: number): number {
  let at = start
  while (at < text.length && ' \t\r\n'.includes(text.charAt(at))) at += 1
  return at - start
}

function wrongAt(text: string, at: number): string {
  const line = text.slice(0, at).split('\n').length
  const found = JSON.stringify(String.fromCodePoint(text.codePointAt(at) ?? 0))
  return `Line ${line}: expected two hexadecimal digits for each byte, found ${found}${/[0-9a-fA-F]/.test(text.charAt(at)) ? ' alone' : ''}.`
}

function pairs(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join(' ')
}

function printable(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => (byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : '.')).join('')
}
