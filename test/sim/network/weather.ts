/** The present behaviour of the network, for every link. */
export interface NetworkWeather {
  delayMsMin: number
  /** Mean of the delay in addition to the minimum. */
  delayMsMean: number
  /** Probability that a message takes `spikeMs` longer. */
  spikeProbability: number
  spikeMs: number
  /**
   * Single messages are lost, duplicated and reordered, like datagrams. A stream between two live processes does none of this,
   * but the protocol of the nodes has to tolerate it.
   */
  lossProbability: number
  duplicateProbability: number
  reorderProbability: number
  /** A connection breaks without cause when a message is sent on it. */
  resetProbability: number
  /** For chunks of snapshots in transit. */
  snapshotCutProbability: number
  snapshotCorruptProbability: number
}

export function calmNetwork(): NetworkWeather {
  return {
    delayMsMin: 0.1,
    delayMsMean: 0.3,
    spikeProbability: 0,
    spikeMs: 0,
    lossProbability: 0,
    duplicateProbability: 0,
    reorderProbability: 0,
    resetProbability: 0,
    snapshotCutProbability: 0,
    snapshotCorruptProbability: 0,
  }
}

/** Stops breaking connections and losing messages. The delays remain. */
export function calmDown(weather: NetworkWeather): void {
  const calm = calmNetwork()
  weather.spikeProbability = 0
  weather.lossProbability = calm.lossProbability
  weather.duplicateProbability = calm.duplicateProbability
  weather.reorderProbability = calm.reorderProbability
  weather.resetProbability = calm.resetProbability
  weather.snapshotCutProbability = calm.snapshotCutProbability
  weather.snapshotCorruptProbability = calm.snapshotCorruptProbability
}
