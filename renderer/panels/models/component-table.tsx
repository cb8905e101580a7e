import type { ModelDoctorReport } from '#pipelines/engine/contract.ts';
import { formatBytes, formatCount } from '#renderer/logic/format.ts';

const dimsOf = (dims: readonly (number | string | null)[]) => `[${dims.map((d) => d ?? '?').join(', ')}]`;

/** The graphs of a model: what each reads and gives, as its file declares it. */
export function ComponentTable({ components }: { components: ModelDoctorReport['components'] }) {
  return (
    <div className="wide-table">
      <table className="components" data-testid="components">
        <thead>
          <tr>
            <th scope="col">Graph</th>
            <th scope="col">Reads</th>
            <th scope="col">Gives</th>
            <th scope="col">Weights</th>
            <th scope="col">Sizes</th>
          </tr>
        </thead>
        <tbody>
          {components.map((c) => (
            <tr key={c.file}>
              <th scope="row">
                <span className="mono">{c.file}</span>
                <span className="quiet">{`opset ${c.opset}`}</span>
              </th>
              <td>
                <Ports ports={c.inputs} />
              </td>
              <td>
                <Ports ports={c.outputs} />
              </td>
              <td className="number">
                {`${formatCount(c.parameters)}, ${formatBytes(c.sizeBytes)}`}
                <span className="quiet">{c.precision}</span>
              </td>
              <td>{c.sizes}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function Ports({ ports }: { ports: ModelDoctorReport['components'][number]['inputs'] }) {
  return (
    <ul>
      {ports.map((p) => (
        <li key={p.name} className="mono" title={`${p.dtype} ${dimsOf(p.dims)}`}>
          {p.name} <span className="quiet">{`${p.dtype} ${dimsOf(p.dims)}`}</span>
        </li>
      ))}
    </ul>
  );
}
