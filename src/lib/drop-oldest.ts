/** Removes the entry that was inserted first when there are more than `max` entries. Returns it, or null when none had to go. */
export function dropOldest<Key, Value>(entries: Map<Key, Value>, max: number): readonly [Key, Value] | null {
  if (entries.size <= max) return null
  for (const oldest of entries) {
    entries.delete(oldest[0])
    return oldest
  }
  return null
}
