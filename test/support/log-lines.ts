/** The lines of a log in JSON that have two values under one name. Readers differ in which of the two they take. */
export function linesWithDoubles(log: string): readonly string[] {
  return log.split('\n').filter((line) => line.startsWith('{') && line.endsWith('}') && isDoubled(line))
}

function isDoubled(line: string): boolean {
  try {
    // One of two values is lost.
    return JSON.stringify(JSON.parse(line)).length < line.length
  } catch {
    // The log is kept from somewhere in the middle of a line.
    return false
  }
}
