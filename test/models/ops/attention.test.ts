import { describeGradients } from '#test/support/describe-gradients.ts';
import { attentionCases } from './cases/attention.ts';

describeGradients('attention', attentionCases);
