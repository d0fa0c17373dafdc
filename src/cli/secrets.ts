const secretName = /secret|password|token/i
const removed = '(removed)'

/** A copy of the settings of a node without anything that opens a door: secrets by their names, and passwords in addresses. */
export function withoutSecrets(settings: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(settings).map(([name, value]) => [name, cleaned(name, value)]))
}

function cleaned(name: string, value: unknown): unknown {
  // A file that holds a secret is named, and not read.
  if (secretName.test(name) && !/file$/i.test(name) && value !== null && value !== '') return removed
  if (typeof value === 'string') return value.replaceAll(/(:\/\/)[^/@\s]+@/g, `$1${removed}@`)
  if (Array.isArray(value)) return value.map((one: unknown) => cleaned('', one))
  return typeof value === 'object' && value !== null ? withoutSecrets(value) : value
}
