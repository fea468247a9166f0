// The files of an image: those of this machine, or of one whose root file system is mounted at some folder. Paths are the
// image's own and begin with a slash.
//
// Contract: links on the way are followed as the image's own system follows them, so that none leads out of the image. What
// cannot be looked at is `IMAGE_INVALID` and never "nothing there".

export type ImageFile = Readonly<{ path: string; kind: 'file' | 'folder' | 'link' | 'other'; bytes: number }>;

export type ImageFiles = {
  /** What has this name, be it a link; `undefined` where nothing has. */
  look(path: string): ImageFile | undefined;
  /** What the name leads to. */
  find(path: string): ImageFile | undefined;
  /** What is in a folder; nothing where the name leads to none. */
  list(folder: string): readonly ImageFile[];
  /** Everything below a folder, folders before what is in them; links below it are not followed. */
  below(folder: string): readonly ImageFile[];
  /** The whole of a regular file; `undefined` where the name leads to none. Throws where it is longer. */
  read(path: string, bytesMax: number): Buffer | undefined;
  /** Unlinks one name: a file, a link, or a folder with nothing in it. Throws `SEAL_INCOMPLETE` or `FS_READONLY`. */
  remove(path: string): void;
  /** Returns when what was removed from the folder stays removed after a power loss. */
  sync(folder: string): void;
};
