/** Something is of a feature level that this build does not know. It is sound, and a node cannot go on; the message says which version can. */
export class NewerBuildError extends Error {
  override readonly name = 'NewerBuildError'
}
