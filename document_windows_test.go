package libcontainerd

import (
	"encoding/json"
	"testing"

	"github.com/Microsoft/hcsshim"
)

// knownLayers is a host whose layer ids cost nothing.
type knownLayers struct{ fakeHost }

func (knownLayers) LayerID(string) (string, error) { return layerNames[0], nil }

var layerNames = []string{"877684a1-9dfb-5854-8ce1-30386705e052", "85efffba-38c4-5dbe-a560-f44bf3f45fa9"}

// The document from a Spec that is filled each time, beside hcsshim's struct that
// is filled by hand and marshalled.
func BenchmarkDocument(b *testing.B) {
	var service ComputeService = knownLayers{server2022}
	b.Run("from=Spec", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := Configuration("web", benchmarkSpec(), service); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("from=hcsshim", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			if _, err := json.Marshal(hcsshimConfig()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("from=Spec,by=value", func(b *testing.B) { // hcsshim's part included
		b.ReportAllocs()
		for b.Loop() {
			spec := benchmarkSpec()
			doc, _, err := translate("web", &spec, service, service.Host(), documentOptions{owner: DefaultOwner})
			if err != nil {
				b.Fatal(err)
			}
			if _, err := json.Marshal(containerConfig(doc)); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// hcsshimConfig is benchmarkSpec by hand.
func hcsshimConfig() *hcsshim.ContainerConfig {
	return &hcsshim.ContainerConfig{
		SystemType:        "Container",
		Name:              "web",
		Owner:             DefaultOwner,
		VolumePath:        `\\?\Volume{66d1ef4c-7a00-11e6-8948-00155ddbef9d}`,
		LayerFolderPath:   `C:\layers\scratch`,
		Layers:            []hcsshim.Layer{{ID: layerNames[0], Path: `C:\layers\top`}, {ID: layerNames[0], Path: `C:\layers\base`}},
		ProcessorWeight:   512,
		MemoryMaximumInMB: 1024,
		HostName:          "web",
		MappedDirectories: []hcsshim.MappedDir{{HostPath: `D:\data`, ContainerPath: `C:\data`}},
		EndpointList:      []string{"f742124c-1ea8-49c4-9a56-23b9de216ca1"},
	}
}

func TestBenchmarksMakeTheSameDocument(t *testing.T) {
	service := knownLayers{server2022}
	document, err := Configuration("web", benchmarkSpec(), service)
	if err != nil {
		t.Fatal(err)
	}
	byHand, err := json.Marshal(hcsshimConfig())
	if err != nil {
		t.Fatal(err)
	}
	var read hcsshim.ContainerConfig
	if err := json.Unmarshal([]byte(document), &read); err != nil {
		t.Fatal(err)
	}
	if got, err := json.Marshal(read); err != nil || string(got) != string(byHand) {
		t.Errorf("%v, from the Spec:\n%s\nby hand:\n%s", err, got, byHand)
	}
}
