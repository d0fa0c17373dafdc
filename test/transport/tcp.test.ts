import t from 'tap'
import { SeededRandom } from '../../src/lib/random.ts'
import { TcpTransport } from '../../src/transport/tcp.ts'
import { transportContract } from '../contract/transport.ts'
import { machineClock } from '../contract/transport-fixture.ts'

transportContract(t, 'tcp', () => ({
  create: (id, limits = {}, listen = '127.0.0.1:0') =>
    new TcpTransport({ id, listen, limits }, { clock: machineClock, random: new SeededRandom(id) }),
}))
