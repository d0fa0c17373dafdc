/** Where the raft addresses of the nodes that may form one cluster are found. */
export type DiscoverySource =
  | { readonly kind: 'static'; readonly addresses: readonly string[] }
  /** Every A and AAAA record of a name, with one port for all. */
  | { readonly kind: 'dns'; readonly name: string; readonly port: number }
  | { readonly kind: 'srv'; readonly name: string }
  /** One address a line. */
  | { readonly kind: 'file'; readonly path: string }

export interface Discovered {
  /** `host:port`, each once, sorted. Empty with a problem: nothing was learnt, which does not mean that nobody is there. */
  readonly addresses: readonly string[]
  /** What did not go well, for people; null when everything did. */
  readonly problem: string | null
}

/** The way to learn where other nodes may be. Nothing says that a node is at every address, or that it is one of ours. */
export interface Discovery {
  /** What there is now. Never rejects: a lookup that fails is a fact like any other. */
  lookUp(): Promise<Discovered>
}
