/** Where the records of RocksDB's write-ahead log end. It lies in blocks; a record that meets the end of one goes on in the next. */
export function recordEnds(log: Buffer): number[] {
  const [blockBytes, headerBytes, whole, last] = [32_768, 7, 1, 4]
  const ends: number[] = []
  for (let at = 0; at + headerBytes <= log.length;) {
    const left = blockBytes - (at % blockBytes)
    if (left < headerBytes) {
      at += left
      continue
    }
    const type = log.readUInt8(at + 6)
    if (type === 0) break
    at += headerBytes + log.readUInt16LE(at + 4)
    if (type === whole || type === last) ends.push(at)
  }
  return ends
}
