package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/seed-609fd248/libcontainerd"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// record is what the state keeps of a container.
type record struct {
	Spec       libcontainerd.Spec
	Policy     RestartPolicy
	Log        logConfig         `json:",omitzero"`
	Labels     map[string]string `json:",omitempty"`
	AutoRemove bool              `json:",omitempty"`

	Status
	ErrText     string `json:",omitempty"` // Status.Err
	Stopped     bool   `json:",omitempty"` // by Stop or Kill
	MayStillRun bool   `json:",omitempty"` // HCS did not end it, though its exit was told
}

// store keeps the records. Its methods may be called concurrently.
type store interface {
	// load returns all records, and a number that grows with every load.
	load() (records map[string]record, life uint64, err error)

	// save writes what current returns for id, or deletes it if that is nil. current
	// is called while no other save is under way, so that the last word counts.
	save(id string, current func() *record) error

	close() error
}

// memory is the store of an engine without a state directory: it keeps nothing.
type memory struct{}

func (memory) load() (map[string]record, uint64, error) { return nil, 0, nil }
func (memory) save(string, func() *record) error        { return nil }
func (memory) close() error                             { return nil }

// stateFile is the name of the database in the state directory.
const stateFile = "engine.db"

// lockTimeout is how long New waits for an engine that is about to end.
const lockTimeout = time.Second

var containersBucket = []byte("containers")

// database is the store in a state directory.
type database struct{ db *bolt.DB }

func openStore(dir string) (store, error) {
	if dir == "" {
		return memory{}, nil
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("state directory: %w", err)
	}
	// The specs may hold secrets.
	db, err := bolt.Open(filepath.Join(dir, stateFile), 0o600, &bolt.Options{Timeout: lockTimeout})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, fmt.Errorf("state directory %q is used by another engine: %w", dir, errdefs.ErrUnavailable)
	}
	if err != nil {
		return nil, fmt.Errorf("state in %q: %w", dir, err)
	}
	db.MaxBatchDelay = time.Millisecond
	return database{db}, nil
}

func (d database) load() (records map[string]record, life uint64, err error) {
	records = make(map[string]record)
	err = d.db.Update(func(tx *bolt.Tx) error {
		b, err := tx.CreateBucketIfNotExists(containersBucket)
		if err != nil {
			return err
		}
		if life, err = b.NextSequence(); err != nil {
			return err
		}
		return b.ForEach(func(id, data []byte) error {
			var r record
			if err := json.Unmarshal(data, &r); err != nil {
				return fmt.Errorf("container %q: %w", id, err)
			}
			if r.ErrText != "" {
				r.Err, r.ErrText = errors.New(r.ErrText), ""
			}
			records[string(id)] = r
			return nil
		})
	})
	return records, life, err
}

func (d database) save(id string, current func() *record) error {
	err := d.db.Batch(func(tx *bolt.Tx) error { // many at once cost one write to the disk
		b := tx.Bucket(containersBucket)
		r := current()
		if r == nil {
			return b.Delete([]byte(id))
		}
		if r.Err != nil {
			r.ErrText, r.Err = r.Err.Error(), nil // JSON cannot bring back an error
		}
		data, err := json.Marshal(r)
		if err != nil {
			return err
		}
		return b.Put([]byte(id), data)
	})
	if err != nil {
		return fmt.Errorf("state of container %q: %w", id, err)
	}
	return nil
}

func (d database) close() error { return d.db.Close() }
