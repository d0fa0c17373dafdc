import { DamagedBytesError, readWhole } from './byte-reader.ts'
import { ByteWriter } from './byte-writer.ts'
import { UnreadableStateError } from './unreadable-state-error.ts'

/** Who has a lock. */
export interface LockHolder {
  readonly lease: number
  /** The revision of the entry that gave it the lock. Tokens of one lock grow from holder to holder. */
  readonly token: number
  /** What the holder says about itself; may be empty. */
  readonly owner: string
}

/** A lock that is held. Nothing is stored for one that is free. */
export interface Lock extends LockHolder {
  /** How many leases wait for it. */
  readonly waiting: number
}

/** `lock` without what does not concern its holder. */
export function holderOf({ lease, token, owner }: LockHolder): LockHolder {
  return { lease, token, owner }
}

/** Format u8, lease u64, token u64, waiting u32, owner as bytes of UTF-8. */
const FORMAT = 1

export function encodeLock({ lease, token, waiting, owner }: Lock): Uint8Array {
  return new ByteWriter().u8(FORMAT).u64(lease).u64(token).u32(waiting).bytes(Buffer.from(owner)).done()
}

/** Throws `UnreadableStateError`. */
export function decodeLock(bytes: Uint8Array): Lock {
  return readWhole(
    bytes,
    (reader) => {
      const format = reader.u8()
      if (format !== FORMAT) throw new DamagedBytesError(`it has format ${format}; this build only knows ${FORMAT}`)
      const [lease, token, waiting] = [reader.u64(), reader.u64(), reader.u32()]
      return { lease, token, waiting, owner: Buffer.from(reader.bytes()).toString() }
    },
    (what) => new UnreadableStateError(`a lock is damaged: ${what}`),
  )
}
