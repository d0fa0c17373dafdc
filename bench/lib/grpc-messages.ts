/* The few messages of etcd's API (rpc.proto, etcdserverpb) that the comparison needs, in the binary format of protobuf. */

const LENGTH_DELIMITED = 2

/** As the load over the JSON gateway names its keys. */
export function etcdKey(n: number): string {
  return `key${String(n).padStart(6, '0')}`
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let rest = value
  while (rest >= 0x80) {
    bytes.push((rest & 0x7f) | 0x80)
    rest >>>= 7
  }
  bytes.push(rest)
  return Buffer.from(bytes)
}

function bytesField(number: number, bytes: Buffer): Buffer {
  return Buffer.concat([varint((number << 3) | LENGTH_DELIMITED), varint(bytes.length), bytes])
}

/** A message as gRPC frames it: one byte for "not compressed", four for the length. */
function frame(message: Buffer): Buffer {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(message.length, 1)
  return Buffer.concat([head, message])
}

/** `PutRequest { bytes key = 1; bytes value = 2; }`. The value comes encoded: it is always the same. */
export function putRequest(key: string, valueField: Buffer): Buffer {
  return frame(Buffer.concat([bytesField(1, Buffer.from(key)), valueField]))
}

export function valueField(value: Buffer): Buffer {
  return bytesField(2, value)
}

/** `RangeRequest { bytes key = 1; }`: linearizable unless it says otherwise. */
export function rangeRequest(key: string): Buffer {
  return frame(bytesField(1, Buffer.from(key)))
}
