/** Reads a value from JSON that somebody else wrote; null when the value has another shape. */
export type JsonReader<Value> = (json: unknown) => { readonly value: Value } | null

type ValueOf<Reader> = Reader extends JsonReader<infer Value> ? Value : never

/** A value for which `holds` is true. */
function jsonThat<Value>(holds: (json: unknown) => json is Value): JsonReader<Value> {
  return (json) => (holds(json) ? { value: json } : null)
}

export const jsonFlag = jsonThat((json): json is boolean => typeof json === 'boolean')

/** A number that is not negative. */
export const jsonAmount = jsonThat((json): json is number => typeof json === 'number' && json >= 0)

/** An integer from `min` to `max`. */
export const jsonInteger = (min: number, max: number): JsonReader<number> =>
  jsonThat((json): json is number => Number.isInteger(json) && Number(json) >= min && Number(json) <= max)

/** A string of `lengthMin` to `lengthMax` characters. */
export const jsonText = (lengthMin: number, lengthMax: number): JsonReader<string> =>
  jsonThat((json): json is string => typeof json === 'string' && json.length >= lengthMin && json.length <= lengthMax)

export const jsonWord = <Word extends string>(...words: readonly Word[]): JsonReader<Word> =>
  jsonThat((json): json is Word => words.some((word) => word === json))

export const jsonNull: JsonReader<null> = jsonThat((json): json is null => json === null)

export function jsonEither<One, Other>(one: JsonReader<One>, other: JsonReader<Other>): JsonReader<One | Other> {
  return (json) => one(json) ?? other(json)
}

export function jsonNullable<Value>(reader: JsonReader<Value>): JsonReader<Value | null> {
  return jsonEither(jsonNull, reader)
}

export function jsonList<Item>(reader: JsonReader<Item>, lengthMax: number): JsonReader<readonly Item[]> {
  return (json) => {
    if (!Array.isArray(json) || json.length > lengthMax) return null
    const items: Item[] = []
    for (const one of json) {
      const item = reader(one)
      if (item === null) return null
      items.push(item.value)
    }
    return { value: items }
  }
}

/** An object with these members. Other members are dropped: they come from a later version. */
export function jsonObject<Readers extends Readonly<Record<string, JsonReader<unknown>>>>(
  readers: Readers,
): JsonReader<{ readonly [Name in keyof Readers]: ValueOf<Readers[Name]> }> {
  return (json) => {
    if (!isJsonObject(json)) return null
    const members: Record<string, unknown> = {}
    for (const [name, reader] of Object.entries(readers)) {
      const member = reader(json[name])
      if (member === null) return null
      members[name] = member.value
    }
    return { value: members as { readonly [Name in keyof Readers]: ValueOf<Readers[Name]> } }
  }
}

/** An object whose members all have the same shape, under any names. */
export function jsonRecord<Value>(
  reader: JsonReader<Value>,
  membersMax: number,
): JsonReader<Readonly<Record<string, Value>>> {
  return (json) => {
    if (!isJsonObject(json) || Object.keys(json).length > membersMax) return null
    const members: [string, Value][] = []
    for (const [name, value] of Object.entries(json)) {
      const member = reader(value)
      if (member === null) return null
      members.push([name, member.value])
    }
    return { value: Object.fromEntries(members) }
  }
}

/** Whether `json` is an object, and no list. */
export function isJsonObject(json: unknown): json is Readonly<Record<string, unknown>> {
  return typeof json === 'object' && json !== null && !Array.isArray(json)
}
