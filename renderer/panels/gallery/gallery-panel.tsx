export function GalleryPanel() {
  return null;
}
