/** Rewards of pictures that ship. Loaded when asked for: rewards bring the image library and the runtime along. */
export async function pictureRewards(): Promise<readonly { name: string; description: string }[]> {
  const { builtInRewards } = await import('#pipelines/rewards/index.ts');
  return [...builtInRewards.values()];
}
