import { readFileSync } from 'node:fs'

/** The version of the package. `package.json` lies one level above `src/` and `dist/`, two above a build of the whole tree. */
export const version = readVersion(['../package.json', '../../package.json'])

function readVersion(candidates: readonly string[]): string {
  for (const candidate of candidates) {
    try {
      const manifest: unknown = JSON.parse(readFileSync(new URL(candidate, import.meta.url), 'utf8'))
      if (typeof manifest === 'object' && manifest !== null && 'version' in manifest) return String(manifest.version)
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error
    }
  }
  return '0.0.0'
}
