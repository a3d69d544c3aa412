use super::{NEWS_LEN_MAX, News};

#[test]
fn the_oldest_is_forgotten_for_the_newest() {
    let news = News::new();
    for number in 0..NEWS_LEN_MAX + 3 {
        news.tell(number);
    }
    let heard: Vec<usize> = news.receiver().try_iter().collect();
    assert_eq!(heard, (3..NEWS_LEN_MAX + 3).collect::<Vec<_>>());
}

#[test]
fn who_hears_is_told_of_the_end() {
    let news = News::new();
    let hears = news.receiver().clone();
    let other = news.clone();
    news.tell(1);
    drop(news);
    other.tell(2);
    drop(other);
    assert_eq!(hears.iter().collect::<Vec<_>>(), [1, 2]);
}
