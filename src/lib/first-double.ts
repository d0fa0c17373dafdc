/** The first of `items` that has the value of an earlier one in one of `fields`; they are looked at one field after the other. */
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
