/**
 * A subset of `items` that has every feature of any item. Items are visited in an order that spreads over the whole list. An
 * item is taken when it has a feature that no earlier one had.
 */
export function coveringSample<T>(items: readonly T[], featuresOf: (item: T) => readonly string[]): T[] {
  const met = new Set<string>()
  const sample: T[] = []
  for (const at of spread(items.length)) {
    const item = items[at] as T
    const features = featuresOf(item)
    if (features.every((feature) => met.has(feature))) continue
    for (const feature of features) met.add(feature)
    sample.push(item)
  }
  return sample
}

/** Every number below `length` once, with neighbours far apart: the step is about the golden section of `length`. */
function spread(length: number): number[] {
  let step = Math.max(1, Math.round(length * 0.618))
  while (commonDivisor(step, length) > 1) step += 1
  return Array.from({ length }, (_, i) => (i * step) % length)
}

function commonDivisor(a: number, b: number): number {
  return b === 0 ? a : commonDivisor(b, a % b)
}
