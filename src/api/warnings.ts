/** What a node of this version can warn of in `GET /cluster`. `quorate_warnings` has a series for each. A client may meet others. */
export const warningCodes = [
  'wiped-voter',
  'foreign-cluster',
  'wrong-node',
  'wrong-address',
  'wrong-token',
  'same-id',
  'removed',
  'unsound-peer',
  'build-too-old',
  'unformed',
  'disk-reserve',
  'writes-refused',
  'peer-tls',
  'certificate-expiry',
  'certificate-files',
] as const
export type WarningCode = (typeof warningCodes)[number]

/** A fact about the cluster that an operator has to look at. */
export interface WarningView {
  readonly code: WarningCode
  readonly detail: string
}
