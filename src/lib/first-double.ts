/** The first of `items` that has the same value as an earlier item in one of `fields`. The fields are searched one after the other. */
export function firstDouble<Item extends object, Field extends keyof Item>(
  items: readonly Item[],
  fields: readonly Field[],
): { readonly at: number; readonly field: Field; readonly value: Item[Field] } | null {
  for (const field of fields) {
    const seen = new Set<unknown>()
    for (const [at, item] of items.entries()) {
      const value = item[field]
      if (seen.has(value)) return { at, field, value }
      seen.add(value)
    }
  }
  return null
}
