// Package layers does the work between a Windows image on disk and a
// libcontainerd.Spec: it finds the folders of an image's layers, imports images
// from tar files, and mounts layers together with a scratch.
//
//	stack, err := layers.Docker(`C:\ProgramData\docker\windowsfilter\0123…`)
//	…
//	mounted, err := layers.Mount(ctx, stack, `C:\scratches\web1`, layers.WithContainer("web1"))
//	…
//	mounted.Apply(&spec)
//	err = client.Create("web1", spec)
//	…                                  // wait for StateExit of web1
//	err = mounted.Unmount(ctx)
//
// # Images
//
// Docker reads the store of a Docker engine, Import fills a store that belongs
// to this package: a folder with
//
//	images\ID.json     an image: its names, its configuration, its layers
//	layers\CHAIN       the folder of a layer, named after its chain ID
//	layers\CHAIN.json  written when the layer is complete; a folder without it is not
//	lock               held while the store is changed
//	scratches          room for scratches, if the caller wants it; see Scratch
//
// A layer is known by the chain ID of OCI, which is made from its diff ID and
// those of the layers below it. Windows writes a layer as a difference to its
// parents, so the same diff on other parents is another layer. A layer that is
// complete is not read a second time.
//
// Windows writes layers with BackupWrite, which needs an administrator. Wine does
// not have that call. So the tests read tars, and refuse bad ones, with a
// simulated Driver on any system. Only a real host can prove that Windows takes
// the files.
//
// # Mounts
//
// Mount goes through these steps, Unmount back through them:
//
//	record     SCRATCH.mount.json is written beside the scratch
//	create     the scratch is made, if there is none
//	activate   its disk is attached
//	prepare    the filter driver shows the layers on its volume
//
// Do not unmount a scratch before the client has reported StateExit for the
// container. If you do, Windows leaves the container in a state from which it
// does not recover.
//
// The record outlives the process that wrote it, and so does the mount. The
// process that mounts keeps the record locked until Unmount, or until it ends. So
// List can distinguish a mount in use from one that is left over, Open can take
// over a mount after a restart of the engine, and Release can undo one that
// nobody needs.
//
// Under Hyper-V isolation the utility VM mounts the layers. WithHyperV makes the
// scratch, and nothing is mounted on the host.
//
// # Systems
//
// On Windows the functions use vmcompute.dll, through hcsshim. On any other system
// they fail with errdefs.ErrNotImplemented unless WithDriver gives a Driver;
// package hcstest has a simulated one.
package layers
