/** The text with a capital letter and a full stop. */
export function sentence(text: string): string {
  const trimmed = text.trim()
  const end = /[.!?]$/.test(trimmed) ? '' : '.'
  return `${trimmed.slice(0, 1).toUpperCase()}${trimmed.slice(1)}${end}`
}

/** The text with a capital letter. */
export function capital(text: string): string {
  return `${text.slice(0, 1).toUpperCase()}${text.slice(1)}`
}
