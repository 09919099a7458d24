package libcontainerd_test

import (
	"encoding/json"
	"fmt"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/seed-609fd248/libcontainerd"
)

func ExampleSpecFromOCI() {
	config := `{
		"process": {"args": ["cmd", "/c", "echo \"two words\""], "cwd": "C:\\"},
		"root": {"path": "\\\\?\\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}\\"},
		"mounts": [
			{"source": "\\\\.\\pipe\\engine", "destination": "\\\\.\\pipe\\docker_engine"},
			{"source": "D:\\web", "destination": "C:\\web", "options": ["ro"]}
		],
		"windows": {"layerFolders": ["C:\\layers\\nanoserver", "C:\\layers\\scratch"]}
	}`
	var document specs.Spec
	if err := json.Unmarshal([]byte(config), &document); err != nil {
		fmt.Println(err)
		return
	}
	spec, err := libcontainerd.SpecFromOCI(&document)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("runs:", spec.Process.Args)
	fmt.Println("on:", spec.Windows.LayerPaths, "with", spec.Windows.LayerFolder)
	fmt.Printf("pipes: %+v\n", spec.Windows.Pipes)
	fmt.Printf("folders: %+v\n", spec.Mounts)
	// Output:
	// runs: [cmd /c "echo \"two words\""]
	// on: [C:\layers\nanoserver] with C:\layers\scratch
	// pipes: [{Source:\\.\pipe\engine Name:docker_engine}]
	// folders: [{Destination:C:\web Type: Source:D:\web Readonly:true}]
}

// Everything that is wrong with a document is reported at once.
func ExampleSpecFromOCI_errors() {
	_, err := libcontainerd.SpecFromOCI(&specs.Spec{
		Process: &specs.Process{},
		Root:    &specs.Root{Path: `C:\scratch`, Readonly: true},
		Mounts:  []specs.Mount{{Source: `D:\web`, Destination: "web", Options: []string{"noexec"}}},
	})
	fmt.Println(err)
	// Output:
	// windows.layerFolders: has 0 entries, the least are one layer and, last, the scratch: invalid argument
	// mounts[0].options[0]: "noexec" is none of ro, rw, bind, rbind: invalid argument (not implemented)
	// mounts[0].destination: "web" is not absolute, as C:\folder: invalid argument
	// process.args: make an empty command line: invalid argument
	// root.readonly: schema 1 of HCS has no read-only root: invalid argument (not implemented)
	// root.path: "C:\\scratch" is not a volume as \\?\Volume{GUID}, which process isolation needs: invalid argument
}
