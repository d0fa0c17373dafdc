/** A value, or what is wrong with the text in words that continue its name. */
export type Parsed<Value> =
  { readonly ok: true; readonly value: Value } | { readonly ok: false; readonly wrong: string }

/** Reads a text that a person wrote. */
export type Parser<Value> = (text: string) => Parsed<Value>

export function right<Value>(value: Value): Parsed<Value> {
  return { ok: true, value }
}

export function wrong(reason: string): { readonly ok: false; readonly wrong: string } {
  return { ok: false, wrong: reason }
}

/** `value`, when it lies in `[min, max]`; `describe` shows a bound in the notation of the text. */
export function within(value: number, min: number, max: number, describe: (value: number) => string): Parsed<number> {
  if (value < min) return wrong(`is below ${describe(min)}`)
  return value > max ? wrong(`is above ${describe(max)}`) : right(value)
}
