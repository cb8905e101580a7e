import type { Command } from '#pipelines/cli/command.ts';

/** Every command, loaded when it is asked for. `serve` and the rest share one shape: `defineCommand`. */
export const commands: Readonly<Record<string, () => Promise<Command>>> = {
  'models list': async () => (await import('./models-list.ts')).modelsList as Command,
  'models inspect': async () => (await import('./models-inspect.ts')).modelsInspect as Command,
  'models bake': async () => (await import('./models-bake.ts')).modelsBake as Command,
  sample: async () => (await import('./sample.ts')).sample as Command,
  reproduce: async () => (await import('./reproduce.ts')).reproduce as Command,
  'bank make': async () => (await import('./bank-make.ts')).bankMake as Command,
  'bank show': async () => (await import('./bank-show.ts')).bankShow as Command,
  'bank tilt': async () => (await import('./bank-tilt.ts')).bankTilt as Command,
  'value train': async () => (await import('./value-train.ts')).valueTrain as Command,
  score: async () => (await import('./score.ts')).score as Command,
  tune: async () => (await import('./tune.ts')).tune as Command,
  train: async () => (await import('./train.ts')).train as Command,
  'lora inspect': async () => (await import('./lora-inspect.ts')).loraInspect as Command,
  'lora convert': async () => (await import('./lora-convert.ts')).loraConvert as Command,
  'lora merge': async () => (await import('./lora-merge.ts')).loraMerge as Command,
  'lora verify': async () => (await import('./lora-verify.ts')).loraVerify as Command,
  'graph inspect': async () => (await import('./graph-inspect.ts')).graphInspect as Command,
  'graph grad': async () => (await import('./graph-grad.ts')).graphGrad as Command,
  serve: async () => (await import('./serve.ts')).serve as Command,
  doctor: async () => (await import('./doctor.ts')).doctor as Command,
  bench: async () => (await import('./bench.ts')).bench as Command,
};
