"""Speed of procedural objects; run by `make bench`."""

from sim.objects import ObjectSet


def test_a_thousand_procedural_objects(benchmark, tmp_path):
    """To reach: 1,000 objects in two minutes on two cores, files included."""
    folders = iter(range(9))

    def made():
        return ObjectSet.procedural(1234, 0, 999, cache=tmp_path / str(next(folders)), workers=2)

    objects = benchmark.pedantic(made, rounds=1, iterations=1)
    told = {"what": "1,000 procedural objects, written to the cache, 2 cores", "to_reach": "<= 120 s"}
    benchmark.extra_info |= told | {"measured": f"{benchmark.stats['mean']:.0f} s"}
    assert len(objects) == 1000
    assert benchmark.stats["mean"] < 120
