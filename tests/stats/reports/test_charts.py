"""Charts as numbers: what they show is to scale, and nobody's bars hide anybody else's."""

from newsletter.stats.reports.charts import HEIGHT, WIDTH, Bar, mirrored_bars


def test_the_bars_of_readers_stay_readable_beside_a_scanners():
    drawn = mirrored_bars([5, 10, 0], [1000, 0, 500])

    assert [bar.height for bar in drawn.above] == [56, 112]
    assert [bar.height for bar in drawn.below] == [48, 24]
    assert (drawn.line, drawn.highest_above, drawn.highest_below) == (112, 10, 1000)


def test_who_is_alone_has_the_whole_height():
    people, machines = mirrored_bars([0, 7], [0, 0]), mirrored_bars([0, 0], [7, 0])

    assert people.above == [Bar(WIDTH / 24, 0, WIDTH / 24 * 0.8, HEIGHT)]
    assert machines.below == [Bar(0, 0, WIDTH / 24 * 0.8, HEIGHT)]


def test_bars_fill_the_chart_once_there_are_enough():
    few, many = mirrored_bars([1] * 23, [0] * 23), mirrored_bars([1] * 72, [0] * 72)

    assert (few.is_full, many.is_full) == (False, True)
    assert many.above[-1].x + many.above[-1].width / 0.8 == WIDTH
