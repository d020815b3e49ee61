"""Registered models by class name. Written by tools/generate.py."""

from palate.models.match.alignrec import AlignRec as AlignRec
from palate.models.match.blend.model import Blend as Blend
from palate.models.match.bm3 import BM3 as BM3
from palate.models.match.bpr.model import BPR as BPR
from palate.models.match.clcrec import CLCRec as CLCRec
from palate.models.match.content_kernel.model import ContentKernel as ContentKernel
from palate.models.match.content_knn import ContentKNN as ContentKNN
from palate.models.match.deepstyle import DeepStyle as DeepStyle
from palate.models.match.dvbpr import DVBPR as DVBPR
from palate.models.match.ease import EASE as EASE
from palate.models.match.ease_content.model import EASEContent as EASEContent
from palate.models.match.freedom import FREEDOM as FREEDOM
from palate.models.match.item_knn import ItemKNN as ItemKNN
from palate.models.match.lattice import LATTICE as LATTICE
from palate.models.match.lgmrec import LGMRec as LGMRec
from palate.models.match.lightgcn import LightGCN as LightGCN
from palate.models.match.mmgcn import MMGCN as MMGCN
from palate.models.match.popularity import Popularity as Popularity
from palate.models.match.sherlock import Sherlock as Sherlock
from palate.models.match.simplex import SimpleX as SimpleX
from palate.models.match.spectral import Spectral as Spectral
from palate.models.match.vbpr import VBPR as VBPR
from palate.models.rank.compositional_vr import CompositionalVR as CompositionalVR
from palate.models.rank.cross_encoder import CrossEncoder as CrossEncoder
from palate.models.rank.cscnn import CSCNN as CSCNN
from palate.models.rank.dcnv2 import DCNv2 as DCNv2
from palate.models.rank.deepfm import DeepFM as DeepFM
from palate.models.rank.dicm import DICM as DICM
from palate.models.rank.din import DIN as DIN
from palate.models.rank.dsin import DSIN as DSIN
from palate.models.rank.em3 import EM3 as EM3
from palate.models.rank.fcn import FCN as FCN
from palate.models.rank.fm import FM as FM
from palate.models.rank.gbdt import GBDT as GBDT
from palate.models.rank.gmmf import GMMF as GMMF
from palate.models.rank.hccm import HCCM as HCCM
from palate.models.rank.logistic import LogisticRegression as LogisticRegression
from palate.models.rank.m3srec import M3SRec as M3SRec
from palate.models.rank.main import MAIN as MAIN
from palate.models.rank.marn import MARN as MARN
from palate.models.rank.news.dan import DAN as DAN
from palate.models.rank.news.dkn import DKN as DKN
from palate.models.rank.news.ebnr import EBNR as EBNR
from palate.models.rank.news.fim import FIM as FIM
from palate.models.rank.news.gerl import GERL as GERL
from palate.models.rank.news.imrec import IMRec as IMRec
from palate.models.rank.news.mm_rec import MMRec as MMRec
from palate.models.rank.news.naml import NAML as NAML
from palate.models.rank.news.nrms import NRMS as NRMS
from palate.models.rank.news.plm_nr import PLMNR as PLMNR
from palate.models.rank.pnn import PNN as PNN
from palate.models.rank.ppm_ranker import PPMRanker as PPMRanker
from palate.models.rank.tavern import Tavern as Tavern
from palate.models.rank.urm import URM as URM
from palate.models.rank.visual_debias import VisualDebias as VisualDebias
from palate.models.rank.wide_deep import WideDeep as WideDeep
from palate.models.rerank.calibrated import Calibrated as Calibrated
from palate.models.rerank.dpp import DPP as DPP
from palate.models.rerank.funnel import Funnel as Funnel
from palate.models.rerank.mmr import MMR as MMR
from palate.models.rerank.prm import PRM as PRM
from palate.models.rerank.quotas import Quotas as Quotas
from palate.models.rerank.ssd import SSD as SSD
from palate.models.rerank.stakeholders import Stakeholders as Stakeholders
from palate.models.sequence.sasrec import SASRec as SASRec
from palate.models.tag.content_tagger import ContentTagger as ContentTagger
from palate.models.tag.majority_tagger import MajorityTagger as MajorityTagger
from palate.models.tag.zero_shot_tagger import ZeroShotTagger as ZeroShotTagger

__all__ = [
    "AlignRec",
    "BM3",
    "BPR",
    "Blend",
    "CLCRec",
    "CSCNN",
    "Calibrated",
    "CompositionalVR",
    "ContentKNN",
    "ContentKernel",
    "ContentTagger",
    "CrossEncoder",
    "DAN",
    "DCNv2",
    "DICM",
    "DIN",
    "DKN",
    "DPP",
    "DSIN",
    "DVBPR",
    "DeepFM",
    "DeepStyle",
    "EASE",
    "EASEContent",
    "EBNR",
    "EM3",
    "FCN",
    "FIM",
    "FM",
    "FREEDOM",
    "Funnel",
    "GBDT",
    "GERL",
    "GMMF",
    "HCCM",
    "IMRec",
    "ItemKNN",
    "LATTICE",
    "LGMRec",
    "LightGCN",
    "LogisticRegression",
    "M3SRec",
    "MAIN",
    "MARN",
    "MMGCN",
    "MMR",
    "MMRec",
    "MajorityTagger",
    "NAML",
    "NRMS",
    "PLMNR",
    "PNN",
    "PPMRanker",
    "PRM",
    "Popularity",
    "Quotas",
    "SASRec",
    "SSD",
    "Sherlock",
    "SimpleX",
    "Spectral",
    "Stakeholders",
    "Tavern",
    "URM",
    "VBPR",
    "VisualDebias",
    "WideDeep",
    "ZeroShotTagger",
]
