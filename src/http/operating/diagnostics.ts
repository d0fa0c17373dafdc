import type { Diagnostics } from '../../api/diagnostics.ts'

/** The answer of `GET /diagnostics`. Lines are JSON already. */
export function diagnosticsJson(node: number, { settings, log }: Diagnostics): Buffer {
  const { lines, forgotten } = log
  const told = `"lines":[${lines.join(',')}],"forgotten":${forgotten}`
  return Buffer.from(`{"node":${node},"settings":${JSON.stringify(settings)},"log":{${told}}}`)
}
