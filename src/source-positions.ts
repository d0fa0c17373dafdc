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
    return String(error)
  } catch {
    return 'Error'
  }
}

function lineOf(site: NodeJS.CallSite): string {
  const text = String(site)
  const module = site.getFileName()
  const [line, column] = [site.getLineNumber(), site.getColumnNumber()]
  if (module === null || line === null || column === null || !module.startsWith('file:')) return text
  const origin = mapOf(module)?.findOrigin(line, column)
  if (origin === undefined || !('fileName' in origin) || origin.fileName === undefined) return text
  const source = fileURLToPath(new URL(origin.fileName, module))
  return text.replace(`${module}:${line}:${column}`, `${source}:${origin.lineNumber}:${origin.columnNumber}`)
}

function mapOf(module: string): SourceMap | null {
  let map = maps.get(module)
  if (map === undefined) {
    map = readMap(module)
    maps.set(module, map)
  }
  return map
}

/** A trace is shown even when its maps are not there. */
function readMap(module: string): SourceMap | null {
  try {
    return new SourceMap(JSON.parse(readFileSync(new URL(`${module}.map`), 'utf8')) as SourceMapPayload)
  } catch {
    return null
  }
}
