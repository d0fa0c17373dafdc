/** A value, or what is wrong with the text: words that follow the name of the value. */
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

/** `value` when it is in `[min, max]`; `describe` shows a bound in the notation of the text. */
export function within(value: number, min: number, max: number, describe: (value: number) => string): Parsed<number> {
  if (value < min) return wrong(`is below ${describe(min)}`)
  return value > max ? wrong(`is above ${describe(max)}`) : right(value)
}
