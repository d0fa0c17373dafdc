/** What the store keeps for a key. `version` counts the writes since the key was created, from 1. `lease` 0 is none. */
export interface KeyRecord {
  readonly createRevision: number
  readonly modRevision: number
  readonly version: number
  readonly lease: number
  readonly value: Uint8Array
}
