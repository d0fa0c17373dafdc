const encoder = new TextEncoder()

/** How many bytes of UTF-8 a text has. */
export function bytesOf(text: string): number {
  return encoder.encode(text).length
}
