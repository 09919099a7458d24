package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/containerd/errdefs"
	"github.com/moby/moby/api/types/container"
	bolt "go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"
)

// record is what the daemon keeps of a container. The state of package engine has
// the rest: whether it runs, and how it has exited.
type record struct {
	ID         string
	Name       string
	Image      string // as the user named it
	ImageID    string
	Created    time.Time
	Config     *container.Config
	HostConfig *container.HostConfig
	Failure    *failure `json:",omitempty"` // of the last start; nil: it did not fail
}

// failure is why a container could not be started.
type failure struct {
	Code    int // exit code, as docker run gives it
	Message string
	At      time.Time
}

var containersBucket = []byte("containers")

// store keeps the records on the disk. Its methods may be called concurrently.
type store struct{ db *bolt.DB }

func openStore(dir string) (store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return store{}, fmt.Errorf("state directory: %w", err)
	}
	// The environment of a container may hold secrets.
	db, err := bolt.Open(filepath.Join(dir, "dockerd.db"), 0o600, &bolt.Options{Timeout: time.Second})
	if errors.Is(err, bolterrors.ErrTimeout) {
		return store{}, errdefs.ErrUnavailable.WithMessage(fmt.Sprintf("state directory %q is used by another daemon", dir))
	}
	if err != nil {
		return store{}, fmt.Errorf("state in %q: %w", dir, err)
	}
	db.MaxBatchDelay = time.Millisecond
	return store{db}, nil
}

// load returns all records.
func (s store) load() (records []record, err error) {
	err = s.db.Update(func(tx *bolt.Tx) error {
		bucket, err := tx.CreateBucketIfNotExists(containersBucket)
		if err != nil {
			return err
		}
		return bucket.ForEach(func(id, data []byte) error {
			var r record
			if err := json.Unmarshal(data, &r); err != nil {
				return fmt.Errorf("record of container %s: %w", id, err)
			}
			records = append(records, r)
			return nil
		})
	})
	return records, err
}

// save writes a record. When it returns, the record survives a crash.
func (s store) save(r record) error {
	data, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("record of container %s: %w", r.ID, err)
	}
	return s.change(r.ID, func(bucket *bolt.Bucket) error { return bucket.Put([]byte(r.ID), data) })
}

// remove deletes a record.
func (s store) remove(id string) error {
	return s.change(id, func(bucket *bolt.Bucket) error { return bucket.Delete([]byte(id)) })
}

func (s store) change(id string, f func(*bolt.Bucket) error) error {
	err := s.db.Batch(func(tx *bolt.Tx) error { return f(tx.Bucket(containersBucket)) })
	if err != nil {
		return fmt.Errorf("record of container %s: %w", id, err)
	}
	return nil
}

func (s store) close() error { return s.db.Close() }
