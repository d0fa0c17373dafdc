import { endOfString } from './json-size.ts'

/** What begins or ends an object, a list or a string. */
const STRUCTURE = /["{}[\]]/g
const NAME_FOLLOWED = /[ \t\n\r]*:/y

/**
 * A name that one object in `text`, which is valid JSON, has twice; null when there is none. `JSON.parse` keeps the last of them and drops
 * the others silently.
 */
export function repeatedNameIn(text: string): string | null {
  /** The names of each object that is open, from the outermost inward. Lists have none. */
  const open: Set<string>[] = []
  STRUCTURE.lastIndex = 0
  for (let found = STRUCTURE.exec(text); found !== null; found = STRUCTURE.exec(text)) {
    const [character] = found
    if (character === '{' || character === '[') open.push(new Set())
    else if (character === '}' || character === ']') open.pop()
    else {
      const end = endOfString(text, found.index) + 1
      STRUCTURE.lastIndex = end
      NAME_FOLLOWED.lastIndex = end
      if (!NAME_FOLLOWED.test(text)) continue
      const name = nameIn(text.slice(found.index, end))
      const names = open.at(-1)
      if (names?.has(name) === true) return name
      names?.add(name)
    }
  }
  return null
}

/** `quoted`: the name as it stands in the text. */
function nameIn(quoted: string): string {
  return quoted.includes('\\') ? String(JSON.parse(quoted)) : quoted.slice(1, -1)
}
