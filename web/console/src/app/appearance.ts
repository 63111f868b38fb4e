/** The colors of Clerk's components. */
export function appearance(dark: boolean) {
  const [surface, ink, mute, primary, onPrimary] = dark ? ['#17171a', '#f1f1f3', '#a6a6b0', '#f1f1f3', '#0b0b0d'] : ['#ffffff', '#18181b', '#55555f', '#18181b', '#fafafa'];
  return {
    variables: {
      colorBackground: surface,
      colorForeground: ink,
      colorMutedForeground: mute,
      colorPrimary: primary,
      colorPrimaryForeground: onPrimary,
      colorNeutral: ink,
      colorInput: surface,
      colorInputForeground: ink,
      colorShadow: dark ? '#000000' : '#18181b',
    },
  };
}
