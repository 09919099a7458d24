package layers

import (
	"time"
)

// Image is an image in a store that Import fills.
type Image struct {
	// ID is the SHA-256 digest of the image's configuration, in 64 hexadecimal
	// digits.
	ID string `json:"id"`
	// Names are repository and tag, as in
	// "mcr.microsoft.com/windows/nanoserver:ltsc2022". A name belongs to the image that was
	// imported with it last. An image may have none.
	Names []string `json:"names,omitempty"`
	// OSVersion is the version of Windows in the image, as in "10.0.20348.2340".
	OSVersion string `json:"osVersion"`
	// Architecture is the architecture of the image, by its name in Go.
	Architecture string `json:"architecture"`
	// Imported is the time at which Import last completed for the image.
	Imported time.Time `json:"imported"`
	// Layers are the folders of the image's layers, topmost first.
	Layers Layers `json:"-"`
	// Config is what a container of the image runs.
	Config Config `json:"config"`

	// Chain holds the chain IDs of the layers, in 64 hexadecimal digits, topmost
	// first. They name the folders in the store.
	Chain []string `json:"chain"`
}

// Config is what an image says about the process of its containers.
type Config struct {
	Entrypoint []string `json:"entrypoint,omitempty"` // the first words of the command line
	Cmd        []string `json:"cmd,omitempty"`        // the further words, unless the user gives others
	Env        []string `json:"env,omitempty"`        // NAME=value
	WorkingDir string   `json:"workingDir,omitempty"`
	User       string   `json:"user,omitempty"`
	// ArgsEscaped reports whether Entrypoint, or else Cmd, has one element, which is a
	// whole command line.
	ArgsEscaped bool `json:"argsEscaped,omitempty"`
}

// Progress is how far Import has come with a layer.
type Progress struct {
	Layer  int    // counted from 1, base first
	Layers int    // how many there are
	ID     string // chain ID of the layer
	Step   Step
	// Bytes counts the bytes of the layer's files that this step has read. Total
	// is how many there are, or 0 until the layer has been checked.
	Bytes, Total int64
}

// Step is what Import does with a layer.
type Step string

// The steps of a layer.
const (
	StepCached    Step = "cached"    // it was complete already
	StepChecking  Step = "checking"  // its digest and its names are verified
	StepImporting Step = "importing" // Windows writes it
	StepDone      Step = "done"      // it is complete
)
