/** How the network behaves at present, for every link. */
export interface NetworkWeather {
  delayMsMin: number
  /** Mean of what comes on top of the minimum. */
  delayMsMean: number
  /** Now and then a message takes this much longer. */
  spikeProbability: number
  spikeMs: number
  /**
   * Messages get lost, doubled and overtaken one by one, as datagrams do. A stream between two live processes does none of that;
   * what nodes tell each other has to stand it all the same.
   */
  lossProbability: number
  duplicateProbability: number
  reorderProbability: number
  /** A connection breaks for no reason when a message is sent on it. */
  resetProbability: number
  /** Chunks of a snapshot on their way. */
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

/** Takes back what breaks connections and loses messages; the delays stay. */
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
