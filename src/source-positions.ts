import { readFileSync } from 'node:fs'
import { SourceMap, type SourceMapPayload } from 'node:module'
import { fileURLToPath } from 'node:url'

/*
 * Stack traces name the TypeScript sources. `--enable-source-maps` does the same, and reads the map of every module for it when the module is loaded,
 * which is a tenth of the time in which a node starts. Here a map is read when a trace is looked at in which its module stands.
 */

/** By the URL of the module; null: it has none. */
const maps = new Map<string, SourceMap | null>()

Error.prepareStackTrace = (error, sites) => [textOf(error), ...sites.map((site) => `    at ${lineOf(site)}`)].join('\n')

function textOf(error: Error): string {
  try {
    return Error.prototype.toString.call(error)
  } catch {
    return 'Error'
  }
}

/** Whatever is wrong with a map, a trace is shown: the site as V8 writes it. */
function lineOf(site: NodeJS.CallSite): string {
  // The line as V8 writes it. The type of a call site lacks `toString`.
  const text = (site as { toString(): string }).toString()
  try {
    return withSource(text, site)
  } catch {
    return text
  }
}

function withSource(text: string, site: NodeJS.CallSite): string {
  // There is none, whatever the types say, for code that was made of a text.
  const module: unknown = site.getFileName()
  const [line, column] = [site.getLineNumber(), site.getColumnNumber()]
  if (typeof module !== 'string' || !module.startsWith('file:') || line === null || column === null) return text
  const origin = mapOf(module)?.findEntry(line - 1, column - 1)
  if (origin === undefined || !('originalSource' in origin)) return text
  const source = fileURLToPath(new URL(origin.originalSource, module))
  const place = `${source}:${origin.originalLine + 1}:${origin.originalColumn + 1}`
  return text.replace(`${module}:${line}:${column}`, () => place)
}

function mapOf(module: string): SourceMap | null {
  let map = maps.get(module)
  if (map === undefined) {
    map = readMap(module)
    maps.set(module, map)
  }
  return map
}

/** Not every module has one. */
function readMap(module: string): SourceMap | null {
  try {
    return new SourceMap(JSON.parse(readFileSync(new URL(`${module}.map`), 'utf8')) as SourceMapPayload)
  } catch {
    return null
  }
}
