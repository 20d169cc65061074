const settings: { name: string } = await Promise.resolve({ name: "late" });

export const handler = () => settings;
