import t from 'tap'
import { SeededRandom } from '../../src/lib/random.ts'
import { LoopbackHub } from '../../src/transport/loopback.ts'
import { transportContract } from '../contract/transport.ts'
import { machineClock } from '../contract/transport-fixture.ts'

transportContract(t, 'loopback', () => {
  const hub = new LoopbackHub({ clock: machineClock, random: new SeededRandom(1) })
  let places = 0
  return { create: (id, limits = {}, address = `place-${++places}`) => hub.join(id, address, { limits }) }
})
